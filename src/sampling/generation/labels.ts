/** Which class each image of a set is asked to be: a function of the image's number, whatever the size of the set. */
import { integers } from "../../array/random.ts";

export const labelModes = ["uniform", "balanced"] as const;

export interface LabelPlan {
  /**
   * Drawn at random for each image, as ADM, DiT and TinyFusion do for their numbers, or in turn. Equal shares of all
   * classes make the Fréchet distance to a balanced reference a little lower.
   */
  readonly mode: (typeof labelModes)[number];
  readonly classes: readonly number[];
  readonly seed: number;
}

/** The labels of the first `count` images. */
export function labelsFrom({ mode, classes, seed }: LabelPlan, count: number): Int32Array {
  return Int32Array.from({ length: count }, (_, index) => {
    if (mode === "balanced") return classes[index % classes.length]!;
    const [place] = integers({ seed, purpose: "class label", step: 0, index }, 1, classes.length);
    return classes[place!]!;
  });
}
