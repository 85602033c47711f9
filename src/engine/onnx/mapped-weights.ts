/** How constant weights reach an ONNX Runtime session: mapped from their files, or fed. */
import { dirname, relative, sep } from "node:path";
import { NDArray } from "../../array/ndarray.ts";
import { isMappable, type StoredTensor } from "../../formats/weight-file.ts";
import type { Weights } from "../engine.ts";
import type { ConstantWeight } from "./model.ts";

/** Weights of a graph. */
export interface MappedWeights {
  /** Those in memory. */
  readonly fed: ReadonlyMap<string, NDArray>;
  /** Those in files, which a session maps instead of reading. */
  readonly mapped: ReadonlyMap<string, ConstantWeight>;
  /** The folder that the locations of `mapped` count from. */
  readonly folder?: string;
}

/** @throws TypeError for a tensor of a file that is not mappable. */
export function mapWeights(weights: Weights): MappedWeights {
  const fed = new Map<string, NDArray>();
  const stored: [string, StoredTensor][] = [];
  for (const [name, weight] of weights) {
    if (weight instanceof NDArray) fed.set(name, weight);
    else stored.push([name, weight]);
  }
  if (stored.length === 0) return { fed, mapped: new Map() };
  const folder = commonFolder(stored.map(([, { location }]) => location!.source.path!));
  return { fed, mapped: new Map(stored.map(([name, tensor]) => [name, locate(name, tensor, folder)])), folder };
}

function locate(name: string, tensor: StoredTensor, folder: string): ConstantWeight {
  if (!isMappable(tensor)) throw new TypeError(`${name}: ${tensor.dtype} weights of this file cannot be mapped`);
  const { source, offset, byteLength } = tensor.location!;
  const location = relative(folder, source.path!).split(sep).join("/");
  return { name, dtype: tensor.dtype, shape: tensor.shape, external: { location, offset, length: byteLength } };
}

/** The deepest folder that all files are below. */
function commonFolder(paths: readonly string[]): string {
  let folder = dirname(paths[0]!);
  while (!paths.every((path) => path.startsWith(folder === sep ? sep : folder + sep))) folder = dirname(folder);
  return folder;
}
