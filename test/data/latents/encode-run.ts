/** A run of `encodeImages` over planted images, and what it leaves behind. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { listImages } from "../../../src/data/images/list-images.ts";
import { type EncodeRun, type EncodeSettings, encodeImages } from "../../../src/data/latents/encode-images.ts";
import { cellEncoder } from "./cell-encoder.ts";

export const tinySettings: EncodeSettings = { imageSize: 16, flip: false, dtype: "float32", batch: 3, shardSize: 8 };

/** Encodes what lies in `folder/images` into `folder/out`. */
export function encodeTiny(folder: string, settings: Partial<EncodeSettings> = {}, changes: Partial<EncodeRun> = {}) {
  return encodeImages({
    listing: listImages(join(folder, "images")),
    encoder: cellEncoder(),
    vaePath: "vae.safetensors",
    versions: { tinyfusion: "0" },
    out: join(folder, "out"),
    settings: { ...tinySettings, ...settings },
    signal: new AbortController().signal,
    ...changes,
  });
}

/** SHA-256 of every file of a folder, by name. */
export function hashes(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = names.map(({ parentPath, name }) => join(parentPath, name)).sort();
  return Object.fromEntries(
    paths.map((path) => [path.slice(folder.length + 1), createHash("sha256").update(readFileSync(path)).digest("hex")]),
  );
}
