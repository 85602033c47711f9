/** Sets of images that are read on demand, whatever holds them: N images of H × W pixels. The file format `.npz` of ADM's suite. */

import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { grayToRgb } from "../../formats/image-bytes.ts";
import { type NpzFile, openNpz } from "../../formats/npz.ts";
import type { StoredTensor } from "../../formats/weight-file.ts";
import { fileBytes } from "../../storage/read.ts";

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

/** @throws InputError for a damaged file, or one without images. */
export async function npzImages(path: string): Promise<ImageSet> {
  const file = await openNpz(await fileBytes(path));
  const stored = imagesOf(file, path);
  const [count, height, width, channels] = stored.shape as readonly [number, number, number, number | undefined];
  const classes = await classesOf(file, count, path);
  const rowBytes = height * width * (channels ?? 1);
  // Bytes always have it: images too large for memory are gone through.
  const readRange = stored.readRange!;
  return {
    name: path,
    count,
    height,
    width,
    isLossy: false,
    ...classes,
    async read(first, rows) {
      checkedRange(first, rows, count);
      const bytes = (await readRange(first * rowBytes, rows * rowBytes)) as Uint8Array<ArrayBuffer>;
      const shape = [rows, height, width, channels ?? 1];
      const images = new NDArray("uint8", shape, bytes);
      return channels === 3 ? images : grayToRgb(images);
    },
  };
}

function imagesOf({ tensors, unreadable }: NpzFile, path: string): StoredTensor {
  const found = tensors.get("arr_0");
  const expected = "expected images as arr_0, uint8 [N, H, W, 3], or gray ones [N, H, W, 1] or [N, H, W]";
  const reason = unreadable.get("arr_0");
  if (reason !== undefined) throw new InputError(`${path}: ${expected}, found that it ${reason}`);
  if (!found) {
    const names = [...tensors.keys()];
    const held = names.length > 0 ? names.slice(0, 8).join(", ") : "no arrays";
    const remedy = names.includes("mu")
      ? "these are statistics, from which no images come back"
      : "name the array arr_0";
    throw new InputError(`${path}: ${expected}, found ${held}; ${remedy}`);
  }
  const { dtype, shape } = found;
  const remedy = remedyFor(dtype, shape);
  if (remedy === undefined) return found;
  throw new InputError(`${path}: ${expected}, found ${dtype} [${shape.join(", ")}]; ${remedy}`);
}

/** What to do with an array that does not hold images as they are read here; undefined if it does. */
function remedyFor(dtype: string, shape: readonly number[]): string | undefined {
  if (shape.includes(0)) return "it holds no images";
  if (dtype !== "uint8") return "round them to bytes 0 … 255 in NumPy first";
  const [, second = 0, , channels] = shape;
  // Nobody has gray images three pixels wide, but many save one image without the axis of a set.
  if (shape.length === 3)
    return shape[2]! <= 4 ? "it seems to be one image: save a set of them, np.stack(images)" : undefined;
  if (shape.length !== 4) return "save a set of images, np.stack(images)";
  if (channels === 1 || channels === 3) return undefined;
  if (channels === 4) return "leave out the fourth channel, images[..., :3]";
  return second === 1 || second === 3 ? "transpose them in NumPy first" : "save gray or RGB images";
}

/**
 * Labels as whole numbers, as numbers in text, or other texts, which are groups in the order of their names. What is
 * none of these is not read unless it has just the shape of labels.
 */
async function classesOf(file: NpzFile, count: number, path: string): Promise<Pick<ImageSet, "labels" | "groups">> {
  const name = "arr_1";
  const texts = file.texts.get(name);
  if (texts && isRow(texts.shape, count)) return classesOfTexts(await texts.read());
  const found = file.tensors.get(name);
  const expected = `${path}: expected ${count} labels as ${name}, whole numbers [${count}]`;
  if (!found) {
    const other = file.unreadableShapes.get(name);
    if (!other || !isRow(other, count)) return {};
    throw new InputError(
      `${expected}, found that it ${file.unreadable.get(name)}; write the images alone, or with int64`,
    );
  }
  if (/^(int|uint|bool)/.test(found.dtype) && isRow(found.shape, count)) {
    const labels = Array.from((await found.read()).data as ArrayLike<number | bigint>, Number);
    const wrong = labels.find((label) => label < 0 || label >= 2 ** 31);
    if (wrong === undefined) return { labels: Int32Array.from(labels) };
    throw new InputError(`${path}: expected labels of at least 0 as ${name}, found ${wrong}`);
  }
  const held = `${found.dtype} [${found.shape.join(", ")}]`;
  throw new InputError(`${expected}, found ${held}; write the images alone, or with their labels`);
}

const isRow = (shape: readonly number[], count: number): boolean => shape.length === 1 && shape[0] === count;

function classesOfTexts(texts: readonly string[]): Pick<ImageSet, "labels" | "groups"> {
  if (texts.every((text) => /^\d{1,9}$/.test(text))) return { labels: Int32Array.from(texts, Number) };
  const names = [...new Set(texts)].sort();
  const numbers = new Map(names.map((name, number) => [name, number]));
  return { groups: Int32Array.from(texts, (text) => numbers.get(text)!) };
}
