/** A folder of generated images while it is filled: shards appear whole or not at all, so a command that was killed goes on. */
import { join } from "node:path";

import { InputError } from "../../array/input-error.ts";

import { NDArray } from "../../array/ndarray.ts";

import { npzImages } from "../../data/images/image-set.ts";

import { encodeNpz, openNpz, type StreamedArray, streamNpz } from "../../formats/npz.ts";

import { makeFolder, removeTemporaries, writeAtomically } from "../../storage/atomic-write.ts";

import { fileSha256, readChecksums, recordChecksum, writeRecorded } from "../../storage/checksums.ts";

import { lockFolder } from "../../storage/lock.ts";

import { exists, fileBytes, listFolder } from "../../storage/read.ts";

import { requireSameSettings } from "../../storage/same-settings.ts";

import {
  changesBetween,
  descriptionPath,
  readDescription,
  type SetDescription,
  type SetLayout,
  shardCount,
  shardDamage,
  shardName,
  shardPath,
  shardRows,
} from "./set-description.ts";

const wholeName = "samples.npz";

type ShardState = "whole" | "missing" | { readonly damage: string };

export class SetFolder {
  readonly path: string;
  readonly #unlock: () => void;

  private constructor(path: string, unlock: () => void) {
    this.path = path;
    this.#unlock = unlock;
  }

  /** Takes the folder for this process, making it if needed. @throws InputError if it is another's, or holds other files. */
  static open(path: string): SetFolder {
    refuseOtherFiles(path);
    const folder = new SetFolder(path, lockFolder(path));
    makeFolder(join(path, "shards"));
    removeTemporaries(path);
    removeTemporaries(join(path, "shards"));
    return folder;
  }

  close(): void {
    this.#unlock();
  }

  /**
   * Writes the description of a new set, or of one that has no images yet; or compares that of a begun one, of which there
   * may be more images now.
   * Returns what is different and changes no more than rounding; the description keeps it.
   * @throws InputError naming every other difference, or fewer images than there are.
   */
  async acquire(description: SetDescription): Promise<readonly string[]> {
    const file = descriptionPath(this.path);
    if (!exists(file)) {
      await writeAtomically(file, textOf(description));
      return [];
    }
    const before = readDescription(this.path);
    if (this.#isEmpty()) {
      await writeAtomically(file, textOf(description)); // the settings before drew nothing, or nothing that is a number
      return [];
    }
    const { content, rounding } = changesBetween(before, description);
    requireSameSettings(this.path, "images", content);
    await this.#refuseFewer(description);
    const also = [...new Set([...((before.roundingAlso as string[] | undefined) ?? []), ...rounding])];
    await writeAtomically(
      file,
      textOf({ ...before, count: description.count, ...(also.length > 0 && { roundingAlso: also }) }),
    );
    return rounding;
  }

  #isEmpty(): boolean {
    return this.#shards().length === 0 && !exists(this.wholePath);
  }

  /** The numbers of the shards that are there. */
  #shards(): number[] {
    const names = listFolder(join(this.path, "shards")).map(({ name }) => /^(\d+)\.npz$/.exec(name)?.[1]);
    return names.flatMap((number) => (number === undefined ? [] : Number(number)));
  }

  async #refuseFewer(layout: SetLayout): Promise<void> {
    const shards = this.#shards();
    if (shards.length === 0) return;
    const shard = Math.max(...shards);
    const rows = await npzImages(shardPath(this.path, shard)).then(
      ({ count }) => count,
      () => 0, // damaged: `state` says so, or it lies beyond the set
    );
    const held = shard * layout.shardSize + rows;
    if (held <= layout.count) return;
    throw new InputError(
      `${this.path} holds ${held} images already, \`count\` ${layout.count} is fewer; ask for ${held} or more, or choose another \`out\``,
    );
  }

  /** Whether a shard is there with these labels, or what is wrong with it. */
  async state(layout: SetLayout, shard: number, labels: Int32Array): Promise<ShardState> {
    const path = shardPath(this.path, shard);
    if (!exists(path)) return "missing";
    const known = readChecksums(this.path).get(shardName(shard));
    const damage = await shardDamage(path, known);
    if (damage !== undefined) return { damage };
    const found = await npzImages(path).catch(unreadable);
    const [height, width] = layout.image;
    const isOfSize = found?.height === height && found.width === width && found.count <= labels.length;
    if (!isOfSize || found.labels?.some((label, i) => label !== labels[i]) !== false) {
      return { damage: `${path} holds other images than generate.json says` };
    }
    if (found.count !== labels.length) return "missing"; // the last one of a set that was smaller
    if (known === undefined) recordChecksum(this.path, shardName(shard), await fileSha256(path));
    return "whole";
  }

  async save(shard: number, images: NDArray<"uint8">, labels: Int32Array): Promise<void> {
    const arrays: [string, NDArray][] = [
      ["arr_0", images],
      ["arr_1", wide(labels)],
    ];
    await writeRecorded(this.path, shardName(shard), encodeNpz(new Map(arrays)));
  }

  get wholePath(): string {
    return join(this.path, wholeName);
  }

  /** Whether all shards, of which none is damaged, are one file already. */
  async isJoined(layout: SetLayout, labels: Int32Array): Promise<boolean> {
    if (!exists(this.wholePath)) return false;
    const known = readChecksums(this.path).get(wholeName);
    if (known !== undefined) return (await fileSha256(this.wholePath)) === known && (await this.#holds(layout, labels));
    if (!(await this.#holds(layout, labels, true))) return false;
    recordChecksum(this.path, wholeName, await fileSha256(this.wholePath));
    return true;
  }

  /** Whether the whole file has the labels of the set, and with `pixels` the images of the shards, which earlier versions did not note. */
  async #holds(layout: SetLayout, labels: Int32Array, pixels = false): Promise<boolean> {
    const whole = await npzImages(this.wholePath).catch(unreadable);
    if (whole?.count !== layout.count || whole.labels?.some((label, i) => label !== labels[i]) !== false) return false;
    for (let shard = 0; pixels && shard < shardCount(layout); shard++) {
      const rows = shardRows(layout, shard);
      const own = await imagesIn(shardPath(this.path, shard), rows);
      if (Buffer.compare((await whole.read(shard * layout.shardSize, rows)).data, own) !== 0) return false;
    }
    return true;
  }

  /** Writes all shards as one file; only one of them is in memory. @throws InputError for a damaged one; the signal's reason. */
  async join(layout: SetLayout, labels: Int32Array, signal?: AbortSignal): Promise<void> {
    const shards = Array.from({ length: shardCount(layout) }, (_, shard) => shardPath(this.path, shard));
    const images: StreamedArray = {
      name: "arr_0",
      dtype: "uint8",
      shape: [layout.count, ...layout.image],
      async *chunks() {
        for (const [shard, path] of shards.entries()) {
          signal?.throwIfAborted();
          yield await imagesIn(path, shardRows(layout, shard));
        }
      },
    };
    const whole: StreamedArray = {
      name: "arr_1",
      dtype: "int64",
      shape: [layout.count],
      async *chunks() {
        const { buffer } = wide(labels).data;
        yield new Uint8Array(buffer);
      },
    };
    await writeRecorded(this.path, wholeName, streamNpz([images, whole]));
  }
}

/** The bytes of a shard's images. @throws InputError if it was damaged after it was checked. */
async function imagesIn(path: string, rows: number): Promise<Uint8Array> {
  const found = await openNpz(await fileBytes(path))
    .then(({ tensors }) => tensors.get("arr_0")?.read())
    .catch(unreadable);
  if (found?.shape[0] === rows) return found.data as Uint8Array;
  throw new InputError(`${path}: damaged since it was checked; repeat the command, which samples this shard again`);
}

/** @throws what is no fault of the file. */
function unreadable(error: unknown): undefined {
  if (!(error instanceof InputError)) throw error;
}

const wide = (labels: Int32Array): NDArray<"int64"> =>
  new NDArray("int64", [labels.length], BigInt64Array.from(labels, BigInt));

const textOf = (description: SetDescription): string => `${JSON.stringify(description, null, 2)}\n`;

/** @throws InputError for a folder that was made for something else. */
function refuseOtherFiles(path: string): void {
  if (!exists(path) || exists(descriptionPath(path))) return;
  const others = listFolder(path).filter(({ name }) => !/^(\.tmp|lock)-|^shards$/.test(name));
  if (others.length === 0) return;
  throw new InputError(
    `${path} holds other files (${others[0]!.name}${others.length > 1 ? ", …" : ""}); choose a new folder as \`out\``,
  );
}
