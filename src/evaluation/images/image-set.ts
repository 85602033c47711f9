/** The seam between where images lie and who looks at them. N images of H × W pixels. */
import type { NDArray } from "../../array/ndarray.ts";

/** Images of one size that are read when they are asked for. */
export interface ImageSet {
  /** Path of the file or folder, or what else a person would call it. */
  readonly name: string;
  readonly kind: "npz" | "folder" | "generated" | "digits";
  readonly count: number;
  readonly height: number;
  readonly width: number;
  /** [N], the class that each was asked to be, where that is known. */
  readonly labels?: Int32Array;
  /** Whether some are from a lossy format: such a reference measures its artefacts too. */
  readonly isLossy: boolean;
  /** How generated images were made, as `generate` noted it. */
  readonly origin?: Readonly<Record<string, unknown>>;
  /** Images `first` … `first + rows − 1` [rows, H, W, 3]; gray ones have three equal channels. @throws InputError naming a damaged file. */
  read(first: number, rows: number): Promise<NDArray<"uint8">>;
}

/** @throws RangeError for images that a set of `count` does not have. */
export function checkedRange(first: number, rows: number, count: number): void {
  if (Number.isInteger(first) && Number.isInteger(rows) && first >= 0 && rows >= 1 && first + rows <= count) return;
  throw new RangeError(`image set: expected images within 0 … ${count - 1}, got ${rows} from ${first} on`);
}
