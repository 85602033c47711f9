/** How the images of a cell are judged: one number that is smaller for better images, with how sure it is. */
import type { NDArray } from "../../array/ndarray.ts";
import { evaluateDigits } from "../../evaluation/digits.ts";
import type { Engine } from "../../onnx/session.ts";

export interface Score {
  readonly estimate: number;
  readonly standardError: number;
  /** What else is known of the images, by name. */
  readonly more: Readonly<Record<string, number>>;
}

/** A metric, and how it is computed. */
export interface Scorer {
  /** Its name with all that its numbers depend on: cells of two names are never compared. */
  readonly metric: string;
  /** `images` [N, C, S, S], about [−1, 1]; `labels` [N], the classes asked for. */
  score(images: NDArray<"float32">, labels: Int32Array): Promise<Score>;
}

/** FD-digits against the packaged digits. */
export function digitScorer(engine: Engine): Scorer {
  return {
    metric: "FD-digits",
    async score(images, labels) {
      const { fdDigits, labelAccuracy, precision, recall, floor } = await evaluateDigits({ engine, images, labels });
      return { ...fdDigits, more: { labelAccuracy, precision, recall, realDigits: floor.mean } };
    },
  };
}
