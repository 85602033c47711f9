/** A folder of generated images while it is filled: shards appear whole or not at all, so a command that was killed goes on. */
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { encodeNpz, openNpz, type StreamedArray, streamNpz } from "../../formats/npz.ts";
import { makeFolder, removeTemporaries, writeAtomically } from "../../storage/atomic-write.ts";
import { lockFolder } from "../../storage/lock.ts";
import { exists, fileBytes, listFolder } from "../../storage/read.ts";
import type { ImageSet } from "../images/image-set.ts";
import { npzImages } from "../images/npz-images.ts";
import {
  changesBetween,
  descriptionPath,
  readDescription,
  type SetDescription,
  type SetLayout,
  shardCount,
  shardPath,
  shardRows,
} from "./set-description.ts";

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
  async claim(description: SetDescription): Promise<readonly string[]> {
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
    if (content.length > 0) {
      throw new InputError(
        `${this.path} holds images of other settings (${content.join("; ")}); ` +
          "repeat its settings to go on, choose another --out, or delete the folder to start over",
      );
    }
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
      `${this.path} holds ${held} images already, --count ${layout.count} is fewer; ask for ${held} or more, or choose another --out`,
    );
  }

  /** Whether a shard is there with these labels, or what is wrong with it. */
  async state(layout: SetLayout, shard: number, labels: Int32Array): Promise<ShardState> {
    const path = shardPath(this.path, shard);
    if (!exists(path)) return "missing";
    let found: ImageSet;
    try {
      found = await npzImages(path);
    } catch (error) {
      if (error instanceof InputError) return { damage: error.message };
      throw error;
    }
    const [height, width] = layout.image;
    const isOfSize = found.height === height && found.width === width && found.count <= labels.length;
    if (!isOfSize || found.labels?.some((label, i) => label !== labels[i]) !== false) {
      return { damage: `${path} holds other images than generate.json says` };
    }
    return found.count === labels.length ? "whole" : "missing"; // the last one of a set that was smaller
  }

  async save(shard: number, images: NDArray<"uint8">, labels: Int32Array): Promise<void> {
    await writeAtomically(
      shardPath(this.path, shard),
      encodeNpz(
        new Map<string, NDArray>([
          ["arr_0", images],
          ["arr_1", wide(labels)],
        ]),
      ),
    );
  }

  get wholePath(): string {
    return join(this.path, "samples.npz");
  }

  /** Whether all shards are one file already. */
  async isJoined({ count }: SetLayout): Promise<boolean> {
    if (!exists(this.wholePath)) return false;
    return npzImages(this.wholePath).then(
      (found) => found.count === count,
      () => false,
    );
  }

  /** Writes all shards as one file; only one of them is in memory. @throws InputError for a damaged one; the signal's reason. */
  async join(layout: SetLayout, labels: Int32Array, signal?: AbortSignal): Promise<void> {
    const shards = Array.from({ length: shardCount(layout) }, (_, shard) => shardPath(this.path, shard));
    const images: StreamedArray = {
      ...{ name: "arr_0", dtype: "uint8", shape: [layout.count, ...layout.image] },
      async *chunks() {
        for (const [shard, path] of shards.entries()) {
          signal?.throwIfAborted();
          yield await imagesIn(path, shardRows(layout, shard));
        }
      },
    };
    const whole: StreamedArray = {
      ...{ name: "arr_1", dtype: "int64", shape: [layout.count] },
      async *chunks() {
        const { buffer } = wide(labels).data;
        yield new Uint8Array(buffer);
      },
    };
    await writeAtomically(this.wholePath, streamNpz([images, whole]));
  }
}

/** The bytes of a shard's images, compared with its checksum. */
async function imagesIn(path: string, rows: number): Promise<Uint8Array> {
  const { tensors } = await openNpz(await fileBytes(path));
  const found = tensors.get("arr_0");
  if (found?.shape[0] === rows) return (await found.read()).data as Uint8Array;
  throw new InputError(
    `${path}: expected ${rows} images as arr_0; delete it and repeat the command to draw them again`,
  );
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
    `${path} holds other files (${others[0]!.name}${others.length > 1 ? ", …" : ""}); choose a new folder as --out`,
  );
}
