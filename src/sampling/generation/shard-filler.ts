/** Batches of images into shards: each is saved when its last image is there. Batches go over the borders of shards. */
import { NDArray, sizeOf } from "../../array/ndarray.ts";
import { type SetLayout, shardRows } from "./set-description.ts";

type Save = (shard: number, images: NDArray<"uint8">, labels: Int32Array) => Promise<void>;

export class ShardFiller {
  /** Images in the shards that were saved. */
  saved = 0;
  readonly #layout: SetLayout;
  readonly #save: Save;
  readonly #pixels: Uint8Array; // [shardSize, H, W, 3]
  readonly #labels: Int32Array; // [shardSize]

  constructor(layout: SetLayout, save: Save) {
    this.#layout = layout;
    this.#save = save;
    const most = Math.min(layout.shardSize, layout.count);
    this.#pixels = new Uint8Array(most * sizeOf(layout.image));
    this.#labels = new Int32Array(most);
  }

  /** Takes images `first` … [rows, H, W, 3]; they follow those before, or begin a shard. */
  async add(first: number, images: NDArray<"uint8">, labels: Int32Array): Promise<void> {
    const { shardSize, image } = this.#layout;
    for (let row = 0; row < labels.length; ) {
      const shard = Math.floor((first + row) / shardSize);
      const [place, rows] = [(first + row) % shardSize, shardRows(this.#layout, shard)];
      const taken = Math.min(labels.length - row, rows - place);
      this.#pixels.set(images.rows(row, row + taken).data, place * sizeOf(image));
      this.#labels.set(labels.subarray(row, row + taken), place);
      row += taken;
      if (place + taken < rows) continue;
      const pixels = this.#pixels.subarray(0, rows * sizeOf(image));
      await this.#save(shard, new NDArray("uint8", [rows, ...image], pixels), this.#labels.subarray(0, rows));
      this.saved += rows;
    }
  }
}
