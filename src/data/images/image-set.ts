/** The seam between where images lie and who looks at them. N images of H × W pixels. */
import type { NDArray } from "../../array/ndarray.ts";

/** Images of one size that are read when they are asked for. */
export interface ImageSet {
  /** Path of the file or folder, or what else a person would call it. */
  readonly name: string;
  readonly count: number;
  readonly height: number;
  readonly width: number;
  /** [N], the number of the class that each was asked to be or is of, as a model numbers classes, where that is known. */
  readonly labels?: Int32Array;
  /** [N], the class folder of each, in the order of their names, where those names are no numbers. */
  readonly groups?: Int32Array;
  /** What a person should know about the classes and files. */
  readonly notes?: readonly string[];
  /** Whether some are from a lossy format: such a reference measures its artefacts too. */
  readonly isLossy: boolean;
  /** How generated images were made, as `generate` noted it. */
  readonly origin?: Readonly<Record<string, unknown>>;
  /** Images `first` … `first + rows − 1` [rows, H, W, 3]; gray ones have three equal channels. @throws InputError naming a damaged file. */
  read(first: number, rows: number): Promise<NDArray<"uint8">>;
  /** The files of as many images, for sets that decode them: they tell images apart for less than the pixels. */
  files?(first: number, rows: number): Iterable<Uint8Array>;
}

/** Images that are read at once. */
const ROWS = 50;

/**
 * What tells images `first` … `first + rows − 1` from all others, piece by piece: their files, where there are such, each
 * behind its length, else their pixels. @throws InputError naming what cannot be read.
 */
export async function* contentsOf(images: ImageSet, first: number, rows: number): AsyncGenerator<Uint8Array> {
  if (images.files) {
    for (const file of images.files(first, rows)) {
      yield new TextEncoder().encode(`${file.length} `);
      yield file;
    }
    return;
  }
  for (let at = 0; at < rows; at += ROWS) yield (await images.read(first + at, Math.min(ROWS, rows - at))).data;
}

/** @throws RangeError for images that a set of `count` does not have. */
export function checkedRange(first: number, rows: number, count: number): void {
  if (Number.isInteger(first) && Number.isInteger(rows) && first >= 0 && rows >= 1 && first + rows <= count) return;
  throw new RangeError(`image set: expected images within 0 … ${count - 1}, got ${rows} from ${first} on`);
}
