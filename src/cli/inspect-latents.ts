/** What is in a folder of latents, from its index; with a check also whether its shards are whole. */
import { join } from "node:path";
import { type LatentIndex, readLatentIndex } from "../data/latents/latent-index.ts";
import { openLatents } from "../data/latents/open-latents.ts";
import { exists, readJson } from "../storage/read.ts";

export interface LatentFacts extends Omit<LatentIndex, "classNames"> {
  readonly path: string;
  readonly bytes: number;
  /** Whether the checksums of all shards were compared. */
  readonly verified: boolean;
}

/** Whether this is a folder of latents, whole or begun. */
export function isLatents(path: string): boolean {
  if (exists(join(path, "index.json"))) return true;
  const config = join(path, "config.json");
  if (!exists(config)) return false;
  return (readJson(config) as { command?: unknown } | null)?.command === "encode";
}

/** @throws InputError for latents that are not complete, damaged, or with a shard that is not what the index says. */
export async function inspectLatents(path: string, check: boolean): Promise<LatentFacts> {
  const { classNames: _, ...index } = readLatentIndex(path);
  const set = await openLatents(path, { verify: check });
  await set.release();
  return { ...index, path, bytes: index.shards.reduce((sum, { bytes }) => sum + bytes, 0), verified: check };
}
