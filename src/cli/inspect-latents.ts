/** What is in a folder of latents, from its index; with a check also whether its shards are whole. */
import { type LatentIndex, readLatentIndex } from "../data/latents/latent-index.ts";
import { openLatents } from "../data/latents/open-latents.ts";

export interface LatentFacts extends LatentIndex {
  readonly path: string;
  readonly bytes: number;
  /** Whether the checksums of all shards were compared. */
  readonly verified: boolean;
}

/** @throws InputError for latents that are not complete, damaged, or with a shard that is not what the index says. */
export async function inspectLatents(path: string, check: boolean): Promise<LatentFacts> {
  const index = readLatentIndex(path);
  const set = await openLatents(path, { verify: check });
  await set.release();
  return { ...index, path, bytes: index.shards.reduce((sum, { bytes }) => sum + bytes, 0), verified: check };
}
