/** A folder of generated images, shard by shard, that can be stopped or killed at any moment and go on. C channels, S side. */
import { InputError } from "../../array/input-error.ts";
import type { NDArray } from "../../array/ndarray.ts";
import { lazyEngine } from "../../engine/lazy-engine.ts";
import { imageBytes } from "../../formats/image-bytes.ts";
import { requireUsable } from "../usable-images.ts";
import { type BatchRange, type BatchSampler, batchSampler, type SampleRequest } from "./batch-sampler.ts";
import { type LabelPlan, labelsFrom } from "./labels.ts";
import { type SetDescription, type SetLayout, shardCount, shardRows } from "./set-description.ts";
import { SetFolder } from "./set-folder.ts";
import { ShardFiller } from "./shard-filler.ts";

/** Makes pictures of a model's latents. */
export interface ImageDecoder {
  /** [N, Z, h, w] → [N, 1 or 3, H, W], about [−1, 1]; a picture depends on its latents only. */
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
  readonly facts: Readonly<Record<string, unknown>>;
  /** What decides on their rounding. */
  readonly threads: number;
  readonly versions: Readonly<Record<string, string>>;
  /** Told what a person should know, and once before the first image how many are there. */
  readonly onNote?: (line: string) => void;
  readonly onStart?: (images: number) => void;
  readonly onProgress?: (progress: SetProgress) => void;
  /** Aborted: stop at once; finished shards stay. */
  readonly signal?: AbortSignal;
}

export interface SetProgress {
  /** Finished images, of this and earlier runs. */
  readonly images: number;
  /** … of which this run has drawn so many. */
  readonly drawn: number;
  /** What the evaluations of an unfinished batch amount to, in images; 0 right after a batch. */
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
  /** … of which this run has drawn so many, in so many seconds. */
  readonly drawn: number;
  readonly seconds: number;
  /** All of them in one file. */
  readonly file: string;
}

export const defaultShardSize = 256;

/**
 * Draws images into `out`, or goes on where an earlier run was stopped or killed. Images depend on (seed, index, label)
 * only, labels on (seed, index): a larger count draws the rest.
 * @throws InputError for a folder of other settings or in use, a model that does not make pictures, or a full disk.
 */
export async function generateSet(request: GenerateSetRequest): Promise<GeneratedSet> {
  const engine = lazyEngine(request.engine); // a set that is finished, refused or another's compiles nothing
  const drawer = await batchSampler({ ...request, engine });
  try {
    const description = describe(request, drawer);
    const folder = SetFolder.open(request.out);
    try {
      for (const change of await folder.acquire(description)) {
        request.onNote?.(`going on with another setting, so equal only up to rounding: ${change}`);
      }
      return await fill(request, { ...drawer, ready: () => engine.build() }, folder, description);
    } finally {
      folder.close();
    }
  } finally {
    await drawer.release();
  }
}

/** @throws InputError for latents without a decoder, or shards that share a batch where its images depend on each other. */
function describe(request: GenerateSetRequest, drawer: BatchSampler): SetDescription {
  const { model, decoder, count, shardSize = defaultShardSize, facts, seed, threads, versions } = request;
  const { inChannels, inputSize, numClasses } = model.config;
  if (!decoder && inChannels !== 1 && inChannels !== 3) {
    throw new InputError(`generate: expected a decoder for this model's ${inChannels}-channel latents, found none`);
  }
  const isCoupled = drawer.settings.dopriNorm === "batch";
  if (isCoupled && shardSize % drawer.batch !== 0) {
    throw new InputError(
      `generate: images of a batch depend on each other here, so a shard is expected to be whole batches; ` +
        `${shardSize} images of a shard are no multiple of ${drawer.batch}`,
    );
  }
  const { mode, classes } = request.labels;
  const isAll = classes.length === numClasses && classes.every((label, place) => label === place);
  const side = decoder?.side ?? inputSize;
  return {
    ...{ kind: "generated images", version: 1, count, shardSize, image: [side, side, 3] },
    ...facts,
    ...{ seed, labels: { mode, classes: isAll ? "all" : classes }, sampling: drawer.settings, derived: drawer.derived },
    ...(isCoupled && { batchTogether: drawer.batch }),
    ...{ batch: drawer.batch, threads, versions },
  };
}

async function fill(
  request: GenerateSetRequest,
  drawer: BatchSampler & { ready(): Promise<void> },
  folder: SetFolder,
  layout: SetLayout,
): Promise<GeneratedSet> {
  const { signal, onStart } = request;
  const labels = labelsFrom({ ...request.labels, seed: request.seed }, layout.count);
  const missing = await missingShards(request, folder, layout, labels);
  const already = missing.reduce((sum, shard) => sum - shardRows(layout, shard), layout.count);
  onStart?.(already);
  const filler = new ShardFiller(layout, (...shard) => folder.save(...shard));
  const clock = { drawn: 0, seconds: 0 };
  const result = (finished: boolean): GeneratedSet => {
    const images = already + filler.saved;
    return { finished, images, ...clock, file: folder.wholePath, derived: drawer.derived };
  };
  try {
    if (missing.length > 0) await drawer.ready();
    for (const [from, to] of consecutive(missing)) {
      const [first, end] = [from * layout.shardSize, to * layout.shardSize + shardRows(layout, to)];
      await drawRange(request, drawer, filler, { first, labels: labels.subarray(first, end), already, clock });
    }
    if (missing.length > 0 || !(await folder.isJoined(layout, labels))) await folder.join(layout, labels, signal);
    return result(true);
  } catch (error) {
    if (!signal?.aborted) throw error;
    return result(false);
  }
}

/** Notes damaged shards: they count as missing. */
async function missingShards(
  { onNote }: GenerateSetRequest,
  folder: SetFolder,
  layout: SetLayout,
  labels: Int32Array,
): Promise<number[]> {
  const missing: number[] = [];
  for (let shard = 0; shard < shardCount(layout); shard++) {
    const first = shard * layout.shardSize;
    const state = await folder.state(layout, shard, labels.subarray(first, first + shardRows(layout, shard)));
    if (state !== "whole") missing.push(shard);
    if (typeof state !== "string") onNote?.(`drawn again: ${state.damage}`);
  }
  return missing;
}

interface Range {
  readonly first: number;
  readonly labels: Int32Array;
  /** Images that were there when this run began. */
  readonly already: number;
  /** Of this run; counted on. */
  readonly clock: { drawn: number; seconds: number };
}

/** Draws the images of consecutive shards. */
async function drawRange(
  { decoder, signal, onProgress }: GenerateSetRequest,
  drawer: BatchSampler,
  filler: ShardFiller,
  { first, labels, already, clock }: Range,
): Promise<void> {
  const started = performance.now() - 1000 * clock.seconds;
  const tell = (atHand: number) => {
    clock.seconds = (performance.now() - started) / 1000;
    onProgress?.({ images: already + clock.drawn, ...clock, atHand });
  };
  let [batch, evaluations] = [-1, 0];
  const onModelEvaluation = (at: BatchRange) => {
    signal?.throwIfAborted();
    evaluations = at.first === batch ? evaluations + 1 : 1;
    batch = at.first;
    if (drawer.evaluations !== undefined) tell((at.rows * evaluations) / drawer.evaluations);
  };
  for await (const drawn of drawer.draw(first, labels, onModelEvaluation)) {
    signal?.throwIfAborted();
    const pictures = decoder ? await decoder.decode(drawn.images) : drawn.images;
    requireUsable({ ...drawn, images: pictures }, "generate");
    await filler.add(drawn.first, imageBytes(pictures), drawn.labels);
    clock.drawn += drawn.labels.length;
    tell(0);
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
