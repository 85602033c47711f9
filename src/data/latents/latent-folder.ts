/**
 * A folder of latents while it is filled. Every batch is a small file of its own, a piece, as soon as it is encoded;
 * the pieces of a shard become the shard. Both appear whole or not at all, so a command that was killed can be resumed.
 */

import { basename, join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { type DType, NDArray, sizeOf, viewOf } from "../../array/ndarray.ts";
import { encodeSafetensors, readSafetensorsHeader, type SafetensorsHeader } from "../../formats/safetensors.ts";
import { streamSafetensors, type WritableTensor } from "../../formats/safetensors-write.ts";
import { remove, removeIfEmpty, removeTemporaries, writeAtomically } from "../../storage/atomic-write.ts";
import { checksumsName, fileSha256, readChecksums, sha256Of, writeRecorded } from "../../storage/checksums.ts";
import { lockFolder } from "../../storage/lock.ts";
import { exists, listFolder, readJson, withByteRanges } from "../../storage/read.ts";
import { requireSameSettings, settingChanges } from "../../storage/same-settings.ts";
import type { UnreadableImage } from "../images/image-errors.ts";
import type { Range } from "../images/prepare-images.ts";
import { imageRecordName } from "./image-record.ts";
import { isLaterIndex, type LatentIndex, readLatentIndex, type ShardContent } from "./latent-index.ts";

/** Settings that decide what is in the shards, by name. */
export type FolderSettings = Readonly<Record<string, string | number | boolean>>;

const pieceName = /^piece-(\d+)-(\d+)\.safetensors$/;
/** What a folder has once something was encoded. */
const ownNames = /^(index\.json|images\.jsonl|pieces|latents-\d+\.safetensors)$/;
const lostAdvice = "restore that file, choose another `out`, or delete the folder to start over";
const padded = (n: number, digits: number): string => String(n).padStart(digits, "0");

export class LatentFolder {
  readonly path: string;
  readonly #pieces: string;
  readonly #unlock: () => void;
  /** What this process began to write. */
  readonly #begun: string[] = [];

  private constructor(path: string, unlock: () => void) {
    this.path = path;
    this.#pieces = join(path, "pieces");
    this.#unlock = unlock;
  }

  /** Takes the folder for this process, making it if needed. @throws InputError if another process holds it. */
  static open(path: string): LatentFolder {
    const folder = new LatentFolder(path, lockFolder(path));
    removeTemporaries(path);
    if (exists(folder.#pieces)) removeTemporaries(folder.#pieces);
    return folder;
  }

  /** Gives the folder back; of a start that encoded nothing no settings stay that others would be compared with. */
  close(): void {
    const isUseless = this.#begun.length > 0 && exists(this.path) && !this.#holdsImages();
    if (isUseless) for (const path of this.#begun) remove(path);
    this.#unlock();
    if (isUseless) removeIfEmpty(this.path);
  }

  #holdsImages(): boolean {
    const hasShards = listFolder(this.path).some(({ name }) => /^(index\.json|latents-.*)$/.test(name));
    return hasShards || (exists(this.#pieces) && listFolder(this.#pieces).length > 0);
  }

  /**
   * Writes the settings of a new folder, or compares those of a begun one; `explained` says of some how they differ.
   * @throws InputError naming every difference, or for a folder whose settings are lost.
   */
  async acquire(settings: FolderSettings, explained: Readonly<Record<string, string | undefined>> = {}): Promise<void> {
    const file = join(this.path, "config.json");
    if (exists(file)) {
      const before = this.#settings(file);
      const isOther = before.command !== settings.command; // of which no further setting is comparable
      const changes = [...settingChanges(before, settings)].filter(([name]) => !isOther || name === "command");
      const lines = changes.map(([name, line]) =>
        explained[name] === undefined ? line : `${name}: ${explained[name]}`,
      );
      requireSameSettings(this.path, "latents", lines);
      return;
    }
    const found = listFolder(this.path).find(({ name }) => ownNames.test(name));
    if (found) {
      throw new InputError(
        `${this.path} holds latents (${found.name}) without their config.json, so their settings are unknown; ${lostAdvice}`,
      );
    }
    this.#begun.push(file, join(this.path, imageRecordName), this.#pieces);
    await writeAtomically(file, `${JSON.stringify(settings, null, 2)}\n`);
  }

  #settings(file: string): FolderSettings {
    try {
      return (readJson(file) ?? {}) as FolderSettings;
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      throw new InputError(`${error.message}; without it the settings of the latents are unknown: ${lostAdvice}`);
    }
  }

  /**
   * What is wrong with a shard, which is read whole; undefined if nothing is. Without `known`, which an index has, the
   * SHA-256 noted when it was written counts; a shard of an earlier version has none before its folder is complete.
   */
  async shardDamage(number: number, known: ShardContent | undefined): Promise<string | undefined> {
    const path = this.#shardPath(number);
    if (!exists(path)) return `${path} is missing`;
    const sha256 = known?.sha256 ?? readChecksums(this.path).get(shardName(number));
    try {
      const { content } = await this.shard(number);
      return sha256 === undefined || content.sha256 === sha256 ? undefined : `${path} is damaged`;
    } catch (error) {
      if (error instanceof InputError) return `${path} is damaged`;
      throw error;
    }
  }

  /** How far the pieces of these images reach without a gap. */
  reached(range: Range): number {
    return this.#piecesOf(range).at(-1)?.end ?? range.first;
  }

  async savePiece(
    { first, end }: Range,
    tensors: ReadonlyMap<string, NDArray>,
    skipped: readonly UnreadableImage[],
  ): Promise<void> {
    const name = `piece-${padded(first, 8)}-${padded(end, 8)}.safetensors`;
    await writeRecorded(this.#pieces, name, encodeSafetensors(tensors, { skipped: JSON.stringify(skipped) }));
  }

  /** Removes damaged pieces of these images, which are then encoded again. */
  async dropDamagedPieces(range: Range): Promise<void> {
    const sums = exists(this.#pieces) ? readChecksums(this.#pieces) : new Map<string, string>();
    for (const { path } of this.#piecesOf(range)) {
      const sha256 = sums.get(basename(path));
      if (sha256 !== undefined && (await fileSha256(path)) !== sha256) remove(path);
    }
  }

  /** Joins the pieces of these images to a shard; no more than one tensor of it is in memory. */
  async publishShard(number: number, range: Range): Promise<void> {
    const paths = this.#piecesOf(range).map(({ path }) => path);
    const headers: SafetensorsHeader[] = [];
    for (const path of paths) headers.push(await withByteRanges(path, readSafetensorsHeader));
    const skipped = headers.flatMap(skippedIn);
    const rows = headers.reduce((sum, header) => sum + rowsIn(header), 0);
    const tensors = headers[0]!.entries.map(({ name, dtype, shape }): WritableTensor => {
      const whole = [rows, ...shape.slice(1)];
      return { name, dtype, shape: whole, read: () => joined(paths, headers, { name, dtype, shape: whole }) };
    });
    const content = streamSafetensors(tensors, { skipped: JSON.stringify(skipped) });
    await writeRecorded(this.path, shardName(number), content);
    this.dropPieces(range);
  }

  /** Removes the pieces of these images: they are in a shard. */
  dropPieces(range: Range): void {
    for (const { path } of this.#piecesOf(range)) remove(path);
  }

  /** What a complete shard holds. */
  async shard(number: number): Promise<{ content: ShardContent; skipped: UnreadableImage[] }> {
    return withByteRanges(this.#shardPath(number), async (source) => {
      const header = await readSafetensorsHeader(source);
      const [rows, sha256] = [rowsIn(header), await sha256Of(source)];
      return { content: { file: shardName(number), rows, bytes: source.size, sha256 }, skipped: skippedIn(header) };
    });
  }

  /** The index, if the folder is complete; a damaged one is made again from the shards. @throws InputError for one of a later version. */
  index(): LatentIndex | undefined {
    const path = join(this.path, "index.json");
    if (!exists(path)) return undefined;
    try {
      return readLatentIndex(this.path);
    } catch (error) {
      if (!(error instanceof InputError) || isLaterIndex(path)) throw error;
      return undefined;
    }
  }

  /** Writes the index: from now on the folder is complete. */
  async finish(index: LatentIndex): Promise<void> {
    await writeAtomically(join(this.path, "index.json"), `${JSON.stringify(index, null, 2)}\n`);
    remove(this.#pieces);
    remove(join(this.path, checksumsName)); // the index has them
  }

  #shardPath(number: number): string {
    return join(this.path, shardName(number));
  }

  /** Pieces of these images that follow each other from the first one on. */
  #piecesOf({ first, end: last }: Range): (Range & { path: string })[] {
    const found: (Range & { path: string })[] = [];
    const names = exists(this.#pieces) ? listFolder(this.#pieces).map(({ name }) => name) : [];
    for (const name of names) {
      const [, start, end] = pieceName.exec(name) ?? [];
      if (Number(start) !== (found.at(-1)?.end ?? first) || Number(end) > last) continue;
      found.push({ first: Number(start), end: Number(end), path: join(this.#pieces, name) });
    }
    return found;
  }
}

const shardName = (number: number): string => `latents-${padded(number, 5)}.safetensors`;
const rowsIn = ({ entries }: SafetensorsHeader): number => entries.find(({ name }) => name === "labels")?.shape[0] ?? 0;
const skippedIn = ({ metadata }: SafetensorsHeader): UnreadableImage[] => JSON.parse(metadata.skipped ?? "[]");

/** The rows of one tensor from all pieces, one behind the other. */
async function joined(
  paths: readonly string[],
  headers: readonly SafetensorsHeader[],
  { name, dtype, shape }: { name: string; dtype: DType; shape: readonly number[] },
): Promise<NDArray> {
  const entries = headers.map((header) => header.entries.find((entry) => entry.name === name)!);
  const bytes = new Uint8Array(entries.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const [i, { offset, byteLength }] of entries.entries()) {
    bytes.set(await withByteRanges(paths[i]!, (source) => source.read(offset, byteLength)), at);
    at += byteLength;
  }
  return new NDArray(dtype, shape, viewOf(dtype, bytes.buffer, 0, sizeOf(shape)));
}
