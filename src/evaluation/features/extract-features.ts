/** Feature networks, the seam between images and metrics, and the features of many images, kept on disk in parts. N images, D pooled, S spatial features, K classes. */

import { createHash } from "node:crypto";
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { NDArray, zeros } from "../../array/ndarray.ts";
import { contentsOf, type ImageSet } from "../../data/images/image-set.ts";
import { encodeNpz, openNpz } from "../../formats/npz.ts";
import { makeFolder, writeAtomically } from "../../storage/atomic-write.ts";
import { exists, fileBytes } from "../../storage/read.ts";

/** A network's features of images: all that a metric is computed from. */
export interface ImageFeatures {
  /** [N, D]: Fréchet distance, precision and recall, kernel distance. */
  readonly pooled: NDArray<"float32">;
  /** [N, S]: the spatial Fréchet distance, of networks that have such features. */
  readonly spatial?: NDArray<"float32">;
  /** [N, K], rows that sum to 1: the Inception Score and the class that an image is taken for. */
  readonly probabilities?: NDArray<"float32">;
}

/** Features of one image depend on that image only, not on how many are in a batch. */
export interface FeatureNetwork {
  /** Stored beside all that is computed from its features: those of two names are never compared. */
  readonly name: string;
  /** All that changes its numbers: weights, resizing. */
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  /** @throws InputError for images [N, H, W, 3] that it does not take: of another size, or coloured ones. */
  features(images: NDArray<"uint8">): Promise<ImageFeatures>;
  release(): Promise<void>;
}

export interface FeatureRequest {
  readonly network: FeatureNetwork;
  readonly images: ImageSet;
  /** Where finished parts are kept; without it nothing is written. */
  readonly folder?: string;
  /** Called after each run of the network and each stored part: images that have features, and how many of them are new. */
  readonly onProgress?: (done: number, fresh: number) => void;
  readonly signal?: AbortSignal;
}

/** Images of one stored part, and of one call of the network. */
const PART = 1000;
const CALL = 50;

const kinds = ["pooled", "spatial", "probabilities"] as const;

/** Features of all images of a set, in order and in memory, where they are once. @throws as {@link featureParts}. */
export async function extractFeatures(request: FeatureRequest): Promise<ImageFeatures> {
  const all = new GrowingFeatures(request.images.count);
  for await (const part of featureParts(request)) all.add(part);
  return all.features();
}

/**
 * Features of a set, some images at a time, in order. A stored part counts only if it is of these very images: their files
 * or pixels are read again and their checksum is compared, which takes a small part of the time of extraction.
 * @throws InputError naming a damaged image or part; the signal's reason.
 */
export async function* featureParts(request: FeatureRequest): AsyncGenerator<ImageFeatures> {
  const { images, folder } = request;
  const ownFolder = folder === undefined ? undefined : await featureFolder(folder, request);
  if (ownFolder !== undefined) makeFolder(ownFolder); // a folder that takes no files is refused before any time is spent
  let fresh = 0;
  for (let first = 0; first < images.count; first += PART) {
    const rows = Math.min(PART, images.count - first);
    const path = ownFolder && join(ownFolder, `${String(first / PART).padStart(5, "0")}.npz`);
    const known = path && (await storedPart(path, request, first, rows));
    if (known) {
      request.onProgress?.(first + rows, fresh);
      yield known;
      continue;
    }
    const { features, checksum } = await extractPart(request, first, rows, fresh);
    fresh += rows;
    if (path) await writeAtomically(path, encodeNpz(arraysOf(features, checksum)));
    yield features;
  }
}

async function extractPart(request: FeatureRequest, first: number, rows: number, fresh: number) {
  const { network, images, onProgress, signal } = request;
  const part = new GrowingFeatures(rows);
  const hash = createHash("sha256"); // of pixels, which need not be read or decoded twice
  // Before the pixels are read: features of a file that changes meanwhile are then extracted again.
  const ofFiles = images.files && (await checksumOf(request, first, rows));
  for (let at = 0; at < rows; at += CALL) {
    signal?.throwIfAborted();
    const pixels = await images.read(first + at, Math.min(CALL, rows - at));
    hash.update(pixels.data);
    const found = await network.features(pixels).catch((error: unknown) => {
      const isUnnamed = error instanceof InputError && !error.message.startsWith(images.name);
      throw isUnnamed ? new InputError(`${images.name}: ${error.message}`, { cause: error }) : error;
    });
    const done = part.add(found);
    onProgress?.(first + done, fresh + done);
  }
  return { features: part.features(), checksum: ofFiles ?? hash.digest() };
}

/** SHA-256 of images by which they are known again. */
async function checksumOf({ images, signal }: FeatureRequest, first: number, rows: number): Promise<Uint8Array> {
  const hash = createHash("sha256");
  for await (const content of contentsOf(images, first, rows)) {
    signal?.throwIfAborted();
    hash.update(content);
  }
  return hash.digest();
}

/** Features that come some rows at a time: all are allocated with the first, so that none is held twice. */
class GrowingFeatures {
  readonly #count: number;
  #arrays: Partial<Record<(typeof kinds)[number], NDArray<"float32">>> = {};
  #rows = 0;

  constructor(count: number) {
    this.#count = count;
  }

  /** Returns how many rows there are now. */
  add(part: ImageFeatures): number {
    for (const kind of kinds) {
      const added = part[kind];
      if (!added) continue;
      const whole = this.#arrays[kind] ?? zeros("float32", [this.#count, added.shape[1]!]);
      this.#arrays[kind] = whole;
      whole.data.set(added.data, this.#rows * added.shape[1]!);
    }
    this.#rows += part.pooled.shape[0]!;
    return this.#rows;
  }

  features(): ImageFeatures {
    return this.#arrays as ImageFeatures;
  }
}

/** The name of the array that holds the checksum of a part's images, beside their features. */
const checksumName = "images";
const CHECKSUM_BYTES = 32;

const arraysOf = (features: ImageFeatures, checksum: Uint8Array): Map<string, NDArray> =>
  new Map<string, NDArray>([
    ...kinds.flatMap((kind) => (features[kind] ? [[kind, features[kind]] as const] : [])),
    [checksumName, new NDArray("uint8", [CHECKSUM_BYTES], Uint8Array.from(checksum))],
  ]);

/** The part at a path if it is of these images. A damaged file is none. @throws InputError for a file of another content. */
async function storedPart(
  path: string,
  request: FeatureRequest,
  first: number,
  rows: number,
): Promise<ImageFeatures | undefined> {
  if (!exists(path)) return undefined;
  const arrays = await arraysIn(path);
  if (!arrays) return undefined; // damaged: it is made again
  const { [checksumName]: checksum, ...features } = Object.fromEntries(arrays);
  const stored = Object.entries(features);
  const isOfRows = ({ dtype, shape }: NDArray) => dtype === "float32" && shape.length === 2 && shape[0]! > 0;
  const isKnown = ([name, x]: (typeof stored)[number]) => kinds.some((kind) => kind === name) && isOfRows(x);
  if (!features.pooled || checksum?.size !== CHECKSUM_BYTES || !stored.every(isKnown)) {
    const found = Array.from(arrays, ([name, { dtype, shape }]) => `${name} ${dtype} [${shape}]`).join(", ");
    throw new InputError(
      `${path}: expected features of ${rows} images and their checksum, found ${found}; remove the file, and it is made again`,
    );
  }
  if (stored.some(([, x]) => x.shape[0] !== rows)) return undefined; // of a set that was smaller
  const isSame = Buffer.compare(await checksumOf(request, first, rows), checksum.data as Uint8Array) === 0;
  return isSame ? (features as unknown as ImageFeatures) : undefined;
}

/** All arrays of a file, compared with their checksums; undefined if it is damaged. */
async function arraysIn(path: string) {
  try {
    const { tensors } = await openNpz(await fileBytes(path));
    return await Promise.all(Array.from(tensors.values(), async (x) => [x.name, await x.read()] as const));
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

/** Where in `folder` a set's features are: named by the network with its settings, and the first images. */
export async function featureFolder(
  folder: string,
  { network, images }: Pick<FeatureRequest, "network" | "images">,
): Promise<string> {
  const hash = createHash("sha256");
  hash.update(JSON.stringify([network.name, network.settings, images.height, images.width]));
  hash.update((await images.read(0, Math.min(2, images.count))).data);
  return join(folder, `${network.name}-${hash.digest("hex").slice(0, 12)}`);
}
