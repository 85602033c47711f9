/** Images in a `.npz` file as ADM's suite writes them: `arr_0` bytes [N, H, W, 3], `arr_1` labels. Large files are read in ranges. */
import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { grayToRgb } from "../../formats/image-bytes.ts";
import { openNpz } from "../../formats/npz.ts";
import type { StoredTensor, TensorPlace, WeightFile } from "../../formats/weight-file.ts";
import { fileBytes } from "../../storage/read.ts";
import { checkedRange, type ImageSet } from "./image-set.ts";

/** @throws InputError for a damaged file, or one without images. */
export async function npzImages(path: string): Promise<ImageSet> {
  const file = await openNpz(await fileBytes(path));
  const stored = imagesOf(file, path);
  const [count, height, width, channels] = stored.shape as readonly [number, number, number, number | undefined];
  const labels = await labelsOf(file, count, path);
  const rowBytes = height * width * (channels ?? 1);
  const readRows = rowsOf(stored);
  return {
    ...{ name: path, count, height, width, isLossy: false },
    ...(labels && { labels }),
    async read(first, rows) {
      checkedRange(first, rows, count);
      const bytes = await readRows(first * rowBytes, rows * rowBytes);
      const shape = [rows, height, width, channels ?? 1];
      const images = new NDArray("uint8", shape, bytes);
      return channels === 3 ? images : grayToRgb(images);
    },
  };
}

function imagesOf({ tensors }: WeightFile, path: string): StoredTensor {
  const found = tensors.get("arr_0");
  const expected = "expected images as arr_0, uint8 [N, H, W, 3], or gray ones [N, H, W, 1] or [N, H, W]";
  if (!found) {
    const names = [...tensors.keys()];
    const held = names.length > 0 ? names.slice(0, 8).join(", ") : "no arrays";
    const remedy = names.includes("mu")
      ? "these are statistics, from which no images come back"
      : "name the array arr_0";
    throw new InputError(`${path}: ${expected}, found ${held}; ${remedy}`);
  }
  const { dtype, shape } = found;
  const isImages = shape.length === 3 || (shape.length === 4 && (shape[3] === 1 || shape[3] === 3));
  if (dtype === "uint8" && isImages && !shape.includes(0)) return found;
  const remedy = dtype === "uint8" ? "transpose them" : "round them to bytes 0 … 255";
  throw new InputError(`${path}: ${expected}, found ${dtype} [${shape.join(", ")}]; ${remedy} in NumPy first`);
}

async function labelsOf({ tensors }: WeightFile, count: number, path: string): Promise<Int32Array | undefined> {
  const found = tensors.get("arr_1");
  if (!found) return undefined;
  const isWhole = /^(int|uint)/.test(found.dtype);
  if (isWhole && found.shape.length === 1 && found.shape[0] === count) {
    const labels = Int32Array.from((await found.read()).data as ArrayLike<number | bigint>, Number);
    if (labels.every((label) => label >= 0)) return labels;
    throw new InputError(`${path}: expected labels of at least 0 as arr_1, found ${labels.find((label) => label < 0)}`);
  }
  throw new InputError(
    `${path}: expected ${count} labels as arr_1, whole numbers [${count}], found ${found.dtype} ` +
      `[${found.shape.join(", ")}]; write the images alone, or with their labels`,
  );
}

/** Bytes of a range of the images: from the file where they lie together in it, else from memory, read once. */
function rowsOf(stored: StoredTensor): (offset: number, length: number) => Promise<Uint8Array> {
  if (stored.place) return fromPlace(stored.place);
  let whole: Promise<NDArray> | undefined;
  return async (offset, length) => {
    whole ??= stored.read();
    return ((await whole).data as Uint8Array).slice(offset, offset + length);
  };
}

const fromPlace =
  ({ source, offset: start }: TensorPlace) =>
  (offset: number, length: number) =>
    source.read(start + offset, length);
