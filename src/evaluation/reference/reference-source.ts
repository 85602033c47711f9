/** What real images are, told without looking at them: their bytes. */
import { createHash } from "node:crypto";
import { fileBytes, isFolder, sha256Of } from "../../storage/read.ts";
import type { ImageSet } from "../images/image-set.ts";
import { openImageSet } from "../images/open-image-set.ts";

/** SHA-256 of a reference file, or of the pixels of a folder of images. @throws InputError for what cannot be read. */
export async function referenceSha256(path: string): Promise<string> {
  return isFolder(path) ? imagesSha256(await openImageSet(path)) : sha256Of(await fileBytes(path));
}

/** Images that are read at once. */
const ROWS = 50;

/** SHA-256 of size and pixels of all images, in order. @throws InputError naming a damaged image. */
export async function imagesSha256(images: ImageSet): Promise<string> {
  const { count, height, width } = images;
  const hash = createHash("sha256").update(JSON.stringify([count, height, width]));
  for (let first = 0; first < count; first += ROWS) {
    hash.update((await images.read(first, Math.min(ROWS, count - first))).data);
  }
  return hash.digest("hex");
}
