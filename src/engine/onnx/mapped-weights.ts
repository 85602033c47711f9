/** How constant weights reach an ONNX Runtime session: mapped from their files, as parts of the model, or fed. */
import { dirname, relative, sep } from "node:path";
import { NDArray } from "../../array/ndarray.ts";
import { isMappable, type StoredTensor } from "../../formats/weight-file.ts";
import type { Weights } from "../engine.ts";
import type { ConstantWeight } from "./model.ts";

/** Weights of a graph. */
export interface MappedWeights {
  /** Those in memory that are given at each run: copies in the session would double them. */
  readonly fed: ReadonlyMap<string, NDArray>;
  /** Those of the session: files that it maps instead of reading, and int8 weights, which it packs once. */
  readonly inside: ReadonlyMap<string, ConstantWeight>;
  /** The folder that the locations of `inside` count from. */
  readonly folder?: string;
}

/** @throws TypeError for a tensor of a file that is not mappable. */
export function mapWeights(weights: Weights): MappedWeights {
  const fed = new Map<string, NDArray>();
  const inside = new Map<string, ConstantWeight>();
  const stored: [string, StoredTensor][] = [];
  for (const [name, weight] of weights) {
    if (weight instanceof NDArray && weight.dtype === "int8") inside.set(name, { name, value: weight });
    else if (weight instanceof NDArray) fed.set(name, weight);
    else stored.push([name, weight]);
  }
  if (stored.length === 0) return { fed, inside };
  const folder = commonFolder(stored.map(([, { location }]) => location!.source.path!));
  for (const [name, tensor] of stored) inside.set(name, locate(name, tensor, folder));
  return { fed, inside, folder };
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
