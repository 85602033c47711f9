/** Opens images wherever they are: a `.npz` file, a folder of image files, or what `generate` and `sample` wrote. */
import { basename, dirname, join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { imageFormat } from "../../data/images/decode-image.ts";
import { type ImageSet, npzImages } from "../../data/images/image-set.ts";
import { mistakenFile, mistakenFileBytes } from "../../formats/file-kind.ts";
import { descriptionPath } from "../../sampling/generation/set-description.ts";
import { exists, isFolder, withByteRanges } from "../../storage/read.ts";
import { folderImages } from "./folder-images.ts";
import { generatedImages } from "./generated-images.ts";
import { sampledImages, sampledName } from "./sampled-images.ts";

/** Whether this is a folder of image files: not one of `generate` or `sample`, whose images are of one size. */
export const holdsImageFiles = (path: string): boolean =>
  isFolder(path) && !exists(descriptionPath(path)) && !exists(join(path, sampledName));

/**
 * The images at a path, by what is there and not by what it is called. `crop` is the side of the squares that a folder of
 * image files is cropped to; other images are of one size already.
 * @throws InputError naming what is damaged, incomplete or of another kind.
 */
export async function openImageSet(path: string, crop?: number): Promise<ImageSet> {
  if (holdsImageFiles(path)) return folderImages(path, crop);
  if (isFolder(path)) return exists(descriptionPath(path)) ? generatedImages(path) : sampledImages(path);
  if (basename(path) === sampledName) return sampledImages(dirname(path));
  const start = await withByteRanges(path, ({ size, read }) => read(0, Math.min(mistakenFileBytes, size)));
  if (String.fromCharCode(...start.subarray(0, 2)) === "PK") return npzImages(path);
  const format = imageFormat(start);
  const mistaken = mistakenFile(start);
  const other = mistaken ? `${mistaken.found}; ${mistaken.remedy}` : "another file";
  const found = format === undefined ? other : `a single ${format} image; name its folder`;
  throw new InputError(
    `${path}: expected images: a .npz file with arr_0, a folder of image files, or a folder of tinyfusion generate or ` +
      `sample; found ${found}`,
  );
}
