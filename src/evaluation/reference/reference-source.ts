/** What real images are, told without looking at them: their bytes. */
import { createHash } from "node:crypto";
import { contentsOf, type ImageSet } from "../../data/images/image-set.ts";
import { fileSha256 } from "../../storage/checksums.ts";
import { isFolder } from "../../storage/read.ts";
import { openImageSet } from "../images/open-image-set.ts";

/** SHA-256 of a reference file, or of a folder of images. @throws InputError for what cannot be read. */
export async function referenceSha256(path: string): Promise<string> {
  return isFolder(path) ? imagesSha256(await openImageSet(path)) : fileSha256(path);
}

/** SHA-256 of size and content of all images, in order. @throws InputError naming what cannot be read. */
export async function imagesSha256(images: ImageSet): Promise<string> {
  const { count, height, width } = images;
  const hash = createHash("sha256").update(JSON.stringify([count, height, width]));
  for await (const content of contentsOf(images, 0, count)) hash.update(content);
  return hash.digest("hex");
}
