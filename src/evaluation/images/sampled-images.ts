/** A folder of `sample` as images: its numbers become bytes as in its picture, with labels and how they were made. */
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { type NDArray, sizeOf } from "../../array/ndarray.ts";
import { checkedRange, type ImageSet } from "../../data/images/image-set.ts";
import { imageBytes } from "../../formats/image-bytes.ts";
import { arrayOver } from "../../formats/raw-array.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import type { StoredTensor } from "../../formats/weight-file.ts";
import { unusableIndex, valueText } from "../../sampling/usable-images.ts";
import { exists, fileBytes, readJson } from "../../storage/read.ts";

export const sampledName = "samples.safetensors";

/** @throws InputError for a damaged file, or latents, which are no pictures yet. */
export async function sampledImages(folder: string): Promise<ImageSet> {
  const path = join(folder, sampledName);
  const { tensors } = await openSafetensors(await fileBytes(path));
  const images = checkedImages(tensors.get("images"), path);
  const [count, channels, height, width] = images.shape as readonly [number, number, number, number];
  const labels = await labelsOf(tensors.get("labels"), count, path);
  const origin = join(folder, "samples.json");
  const rowBytes = 4 * channels * height * width;
  return {
    ...{ name: folder, count, height, width, isLossy: false },
    ...(labels && { labels }),
    ...(exists(origin) && { origin: readJson(origin) as Record<string, unknown> }),
    async read(first, rows) {
      checkedRange(first, rows, count);
      const { source, offset } = images.location!; // safetensors are never packed
      const bytes = await source.read(offset + first * rowBytes, rows * rowBytes);
      const values = arrayOver("float32", [rows, channels, height, width], bytes) as NDArray<"float32">;
      const wrong = unusableIndex(values.data);
      if (wrong < 0) return imageBytes(values);
      throw new InputError(
        `${path}: image ${first + Math.floor(wrong / (rowBytes / 4))} has the value ${valueText(values.data[wrong]!)}, ` +
          "expected finite numbers of about −1 to 1; sample the images again with other settings or weights",
      );
    },
  };
}

function checkedImages(found: StoredTensor | undefined, path: string): StoredTensor {
  const shape = found?.shape ?? [];
  const isImages = found?.dtype === "float32" && shape.length === 4 && sizeOf(shape) > 0;
  if (isImages && (shape[1] === 1 || shape[1] === 3)) return found;
  const held = found ? `${found.dtype} [${shape.join(", ")}]` : "none";
  const remedy = isImages ? "latents become pictures by tinyfusion generate with --vae" : "is it the file of sample?";
  throw new InputError(`${path}: expected images, float32 [N, 1 or 3, H, W], found ${held}; ${remedy}`);
}

async function labelsOf(found: StoredTensor | undefined, count: number, path: string): Promise<Int32Array | undefined> {
  if (!found) return undefined;
  if (found.dtype === "int32" && String(found.shape) === String([count]))
    return (await found.read()).data as Int32Array;
  throw new InputError(`${path}: expected labels, int32 [${count}], found ${found.dtype} [${found.shape.join(", ")}]`);
}
