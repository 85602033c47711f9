/** Features of many images, kept on disk in pieces: a long look that is stopped goes on where it was. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { type NDArray, stackedRows } from "../../array/ndarray.ts";
import { encodeNpz, openNpz } from "../../formats/npz.ts";
import { writeAtomically } from "../../storage/atomic-write.ts";
import { exists, fileBytes } from "../../storage/read.ts";
import type { ImageSet } from "../images/image-set.ts";
import type { FeatureNetwork, ImageFeatures } from "./feature-network.ts";

export interface LookRequest {
  readonly network: FeatureNetwork;
  readonly images: ImageSet;
  /** Where finished pieces are kept; without it nothing is written. */
  readonly folder?: string;
  /** Told after each piece: images that have features, and how many of them were not read from the folder. */
  readonly onProgress?: (done: number, fresh: number) => void;
  readonly signal?: AbortSignal;
}

/** Images of one stored piece, and of one call of the network. */
const PIECE = 1000;
const CALL = 50;

const kinds = ["pooled", "spatial", "probabilities"] as const;

/** Features of all images of a set, in order and in memory. @throws as {@link looks}. */
export async function lookAt(request: LookRequest): Promise<ImageFeatures> {
  const pieces: ImageFeatures[] = [];
  for await (const piece of looks(request)) pieces.push(piece);
  return stacked(pieces);
}

/**
 * Features of a set, some images at a time, in order.
 * @throws InputError naming a damaged image or piece; the signal's reason.
 */
export async function* looks(request: LookRequest): AsyncGenerator<ImageFeatures> {
  const { images, folder, onProgress } = request;
  const place = folder === undefined ? undefined : join(folder, await keyOf(request));
  let fresh = 0;
  for (let first = 0; first < images.count; first += PIECE) {
    const rows = Math.min(PIECE, images.count - first);
    const path = place && join(place, `${String(first / PIECE).padStart(5, "0")}.npz`);
    const known = path && exists(path) ? await readPiece(path, rows) : undefined;
    const piece = known ?? (await lookAtPiece(request, first, rows));
    if (!known) fresh += rows;
    if (path && !known) await writeAtomically(path, encodeNpz(arraysOf(piece)));
    onProgress?.(first + rows, fresh);
    yield piece;
  }
}

async function lookAtPiece({ network, images, signal }: LookRequest, first: number, rows: number) {
  const calls: ImageFeatures[] = [];
  for (let at = 0; at < rows; at += CALL) {
    signal?.throwIfAborted();
    calls.push(await network.features(await images.read(first + at, Math.min(CALL, rows - at))));
  }
  return stacked(calls);
}

function stacked(parts: readonly ImageFeatures[]): ImageFeatures {
  const all = kinds.flatMap((kind) => {
    const arrays = parts.flatMap((part) => part[kind] ?? []);
    return arrays.length > 0 ? [[kind, stackedRows(arrays)]] : [];
  });
  return Object.fromEntries(all) as ImageFeatures;
}

const arraysOf = (features: ImageFeatures): Map<string, NDArray> =>
  new Map(kinds.flatMap((kind) => (features[kind] ? [[kind, features[kind]]] : [])));

async function readPiece(path: string, rows: number): Promise<ImageFeatures> {
  const { tensors } = await openNpz(await fileBytes(path));
  const arrays = await Promise.all(Array.from(tensors.values(), async (x) => [x.name, await x.read()] as const));
  for (const [name, { dtype, shape }] of arrays) {
    if (dtype !== "float32" || shape[0] !== rows || !kinds.some((kind) => kind === name)) {
      throw new InputError(
        `${path}: expected features of ${rows} images, found ${name} ${dtype} [${shape}]; remove the file, and it is made again`,
      );
    }
  }
  if (!tensors.has("pooled"))
    throw new InputError(`${path}: expected an array pooled; remove the file, and it is made again`);
  return Object.fromEntries(arrays) as unknown as ImageFeatures;
}

const PROBES = 16;

/** Names what the features are of: the network with its settings, and the images, of which some are looked at. */
async function keyOf({ network, images }: LookRequest): Promise<string> {
  const { count, height, width } = images;
  const hash = createHash("sha256");
  hash.update(JSON.stringify([network.name, network.settings, count, height, width]));
  for (let probe = 0; probe < Math.min(PROBES, count); probe++) {
    const at = Math.floor((probe * (count - 1)) / Math.max(1, Math.min(PROBES, count) - 1));
    hash.update((await images.read(at, 1)).data);
  }
  return `${network.name}-${hash.digest("hex").slice(0, 12)}`;
}
