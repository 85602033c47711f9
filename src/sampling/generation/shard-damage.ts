/** What is wrong with a shard of generated images, found by its checksum and its content. */
import { InputError } from "../../array/input-error.ts";
import { openNpz } from "../../formats/npz.ts";
import { checksumsName, fileSha256 } from "../../storage/checksums.ts";
import { fileBytes } from "../../storage/read.ts";

/**
 * Reads the whole file. Shards of earlier versions have no SHA-256; the checksums of their arrays, which cover all but
 * the headers, are compared instead.
 */
export async function shardDamage(path: string, sha256: string | undefined): Promise<string | undefined> {
  try {
    if (sha256 === undefined) {
      for (const tensor of (await openNpz(await fileBytes(path))).tensors.values()) await tensor.read();
    } else if ((await fileSha256(path)) !== sha256) {
      return `${path}: damaged: its SHA-256 is not the one in ${checksumsName}`;
    }
    return undefined;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return `${path}: damaged: it cannot be read whole, or its content has another checksum than it names`;
  }
}
