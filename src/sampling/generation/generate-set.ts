/** A folder of generated images, shard by shard, that can be stopped or killed at any moment and go on. C channels, S side. */
import { InputError } from "../../array/input-error.ts";
import { NDArray, sizeOf } from "../../array/ndarray.ts";
import { lazyEngine } from "../../engine/lazy-engine.ts";
import { imageBytes } from "../../formats/image-bytes.ts";
import {
  type BatchRange,
  type BatchSampler,
  batchSampler,
  type LabelPlan,
  labelsFrom,
  type SampleRequest,
} from "../sample-images.ts";
import { requireUsable } from "../usable-images.ts";
import { type SetDescription, type SetLayout, shardCount, shardRows } from "./set-description.ts";
import { SetFolder } from "./set-folder.ts";

/** Makes images of a model's latents. */
export interface ImageDecoder {
  /** [N, Z, h, w] → [N, 1 or 3, H, W], about [−1, 1]; an image depends on its latents only. */
  decode(latents: NDArray<"float32">): Promise<NDArray<"float32">>;
  /** Pixels along a side, H = W. */
  readonly side: number;
}

export interface GenerateSetRequest extends SampleRequest {
  readonly out: string;
  readonly count: number;
  readonly labels: Pick<LabelPlan, "mode" | "classes">;
  readonly shardSize?: number;
  /** For models of latents. */
  readonly decoder?: ImageDecoder;
  /** What else decides on the images, for `generate.json`: model and decoder with their SHA-256, kept blocks. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** What decides on their rounding. */
  readonly threads: number;
  readonly versions: Readonly<Record<string, string>>;
  /** Called with what a person should know, and once before the first image with how many are there. */
  readonly onNote?: (line: string) => void;
  readonly onStart?: (images: number) => void;
  readonly onProgress?: (progress: SetProgress) => void;
}

export interface SetProgress {
  /** Finished images, of this and earlier runs. */
  readonly images: number;
  /** … of which this run has sampled so many. */
  readonly newImages: number;
  /** What the model evaluations of an unfinished batch amount to, in images; 0 right after a batch. */
  readonly atHand: number;
  /** Spent on both. */
  readonly seconds: number;
}

export interface GeneratedSet {
  /** What followed from the settings of the sampler. */
  readonly derived: BatchSampler["derived"];
  readonly finished: boolean;
  /** In the folder's shards. */
  readonly images: number;
  /** … of which this run has sampled so many, in so many seconds. */
  readonly newImages: number;
  readonly seconds: number;
  /** All of them in one file. */
  readonly file: string;
}

export const defaultShardSize = 256;

/**
 * Samples images into `out`, or goes on where an earlier run was stopped or killed; a run that is stopped keeps its finished
 * shards. Images depend on (seed, index, label) only, labels on (seed, index): a larger count samples the rest.
 * @throws InputError for a folder of other settings or in use, a model that does not make images, or a full disk.
 */
export async function generateSet(request: GenerateSetRequest): Promise<GeneratedSet> {
  const { out, onNote, signal } = request;
  const engine = lazyEngine(request.engine); // a set that is finished, refused or another's compiles nothing
  const sampler = await batchSampler({ ...request, engine });
  try {
    const description = describe(request, sampler);
    const folder = SetFolder.open(out);
    try {
      for (const change of await folder.acquire(description)) {
        onNote?.(`going on with another setting, so equal only up to rounding: ${change}`);
      }
      const filling = new SetFilling(request, sampler, folder, description);
      const finished = await filling
        .run(() => engine.build())
        .then(
          () => true,
          (error: unknown) => {
            if (!signal?.aborted) throw error;
            return false;
          },
        );
      const { images, newImages, seconds } = filling;
      return { finished, images, newImages, seconds, file: folder.wholePath, derived: sampler.derived };
    } finally {
      folder.close();
    }
  } finally {
    await sampler.release();
  }
}

/** @throws InputError for latents without a decoder, or shards that share a batch where its images depend on each other. */
function describe(request: GenerateSetRequest, sampler: BatchSampler): SetDescription {
  const { engine, model, decoder, count, shardSize = defaultShardSize, metadata, seed, threads, versions } = request;
  const { inChannels, inputSize, numClasses } = model.config;
  if (!decoder && inChannels !== 1 && inChannels !== 3) {
    throw new InputError(`generate: expected a decoder for this model's ${inChannels}-channel latents, found none`);
  }
  const isCoupled = sampler.settings.dopriNorm === "batch";
  if (isCoupled && shardSize % sampler.batch !== 0) {
    throw new InputError(
      `generate: images of a batch depend on each other here, so a shard is expected to be whole batches; ` +
        `${shardSize} images of a shard are no multiple of ${sampler.batch}`,
    );
  }
  const { mode, classes } = request.labels;
  const isAll = classes.length === numClasses && classes.every((label, place) => label === place);
  const side = decoder?.side ?? inputSize;
  return {
    kind: "generated images",
    version: 1,
    count,
    shardSize,
    image: [side, side, 3],
    ...metadata,
    seed,
    labels: { mode, classes: isAll ? "all" : classes },
    sampling: sampler.settings,
    derived: sampler.derived,
    ...(isCoupled && { batchTogether: sampler.batch }),
    batch: sampler.batch,
    threads,
    ...(engine.name !== "cpu" && { device: engine.name }),
    versions,
  };
}

/** Fills the shards that are missing. Batches go over the borders of shards; a shard is saved when its last image is there. */
class SetFilling {
  /** Images of this run in finished batches, and the seconds that they took. */
  newImages = 0;
  seconds = 0;
  /** Images in the shards of the folder. */
  images = 0;
  #already = 0;
  readonly #request: GenerateSetRequest;
  readonly #sampler: BatchSampler;
  readonly #folder: SetFolder;
  readonly #layout: SetLayout;
  readonly #pixels: Uint8Array; // [shardSize, H, W, 3]

  constructor(request: GenerateSetRequest, sampler: BatchSampler, folder: SetFolder, layout: SetLayout) {
    this.#request = request;
    this.#sampler = sampler;
    this.#folder = folder;
    this.#layout = layout;
    this.#pixels = new Uint8Array(Math.min(layout.shardSize, layout.count) * sizeOf(layout.image));
  }

  /** Calls `ready` before the first image. @throws the signal's reason. */
  async run(ready: () => Promise<void>): Promise<void> {
    const { labels: plan, seed, signal, onStart } = this.#request;
    const [layout, folder] = [this.#layout, this.#folder];
    const labels = labelsFrom({ ...plan, seed }, layout.count);
    const missing = await this.#missingShards(labels);
    this.#already = missing.reduce((sum, shard) => sum - shardRows(layout, shard), layout.count);
    this.images = this.#already;
    onStart?.(this.#already);
    if (missing.length > 0) await ready();
    for (const [from, to] of consecutive(missing)) {
      const [first, end] = [from * layout.shardSize, to * layout.shardSize + shardRows(layout, to)];
      await this.#sampleRange(first, labels.subarray(first, end), labels);
    }
    if (missing.length > 0 || !(await folder.isJoined(layout, labels))) await folder.join(layout, labels, signal);
  }

  /** Damaged shards count as missing, and are noted. */
  async #missingShards(labels: Int32Array): Promise<number[]> {
    const layout = this.#layout;
    const missing: number[] = [];
    for (let shard = 0; shard < shardCount(layout); shard++) {
      const first = shard * layout.shardSize;
      const state = await this.#folder.state(layout, shard, labels.subarray(first, first + shardRows(layout, shard)));
      if (state !== "whole") missing.push(shard);
      if (typeof state !== "string") this.#request.onNote?.(`sampled again: ${state.damage}`);
    }
    return missing;
  }

  /** Samples the images of consecutive shards, which begin at `first` and have the labels `own`. */
  async #sampleRange(first: number, own: Int32Array, labels: Int32Array): Promise<void> {
    const { decoder, signal, onProgress } = this.#request;
    const { modelEvaluations } = this.#sampler;
    const started = performance.now() - 1000 * this.seconds;
    const report = (atHand: number) => {
      this.seconds = (performance.now() - started) / 1000;
      onProgress?.({
        images: this.#already + this.newImages,
        newImages: this.newImages,
        seconds: this.seconds,
        atHand,
      });
    };
    let [batch, evaluations] = [-1, 0];
    const onModelEvaluation = (range: BatchRange) => {
      signal?.throwIfAborted();
      evaluations = range.first === batch ? evaluations + 1 : 1;
      batch = range.first;
      if (modelEvaluations !== undefined) report((range.rows * evaluations) / modelEvaluations);
    };
    for await (const sampled of this.#sampler.sample(first, own, onModelEvaluation)) {
      signal?.throwIfAborted();
      const images = decoder ? await decoder.decode(sampled.images) : sampled.images;
      requireUsable({ ...sampled, images }, "generate");
      await this.#add(sampled.first, imageBytes(images), labels);
      this.newImages += sampled.labels.length;
      report(0);
    }
  }

  /** Takes images `first` … [rows, H, W, 3]; they follow those before, or begin a shard. */
  async #add(first: number, images: NDArray<"uint8">, labels: Int32Array): Promise<void> {
    const { shardSize, image } = this.#layout;
    for (let row = 0; row < images.shape[0]!; ) {
      const shard = Math.floor((first + row) / shardSize);
      const [place, rows] = [(first + row) % shardSize, shardRows(this.#layout, shard)];
      const taken = Math.min(images.shape[0]! - row, rows - place);
      this.#pixels.set(images.rows(row, row + taken).data, place * sizeOf(image));
      row += taken;
      if (place + taken < rows) continue;
      const pixels = new NDArray("uint8", [rows, ...image], this.#pixels.subarray(0, rows * sizeOf(image)));
      await this.#folder.save(shard, pixels, labels.subarray(shard * shardSize, shard * shardSize + rows));
      this.images += rows;
    }
  }
}

/** Ascending numbers as ranges [from, to] without gaps. */
function consecutive(numbers: readonly number[]): [number, number][] {
  const ranges: [number, number][] = [];
  for (const number of numbers) {
    const last = ranges.at(-1);
    if (last && last[1] + 1 === number) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges;
}
