/** How the weights that a graph only reads reach a session: mapped where they lie in a file, or fed. */
import { dirname, relative, sep } from "node:path";
import { bytesPerElement, NDArray } from "../array/ndarray.ts";
import type { CompileOptions, ConstantWeight, NamedArrays } from "../engine/engine.ts";
import { asFloat32 } from "../formats/float16.ts";
import type { StoredTensor } from "../formats/weight-file.ts";

/** A weight in memory, or in a file from which an engine can map it. */
export type Weight = NDArray | StoredTensor;

export interface PlacedWeights {
  /** For `Session.run`. */
  readonly fed: NamedArrays;
  /** For `Engine.compile`. */
  readonly options: Pick<CompileOptions, "constants" | "constantsFolder">;
}

/** Whether an engine can compute with the bytes of this tensor as they lie in the file. */
export function isMappable({ dtype, location }: StoredTensor): boolean {
  const isFloat = dtype === "float32" || dtype === "float16" || dtype === "bfloat16";
  return isFloat && location?.source.path !== undefined && location.offset % bytesPerElement(dtype) === 0;
}

/** Weights for a graph in which each of them is called `prefix` + its name. @throws TypeError for a tensor that is not mappable. */
export function placeWeights(weights: ReadonlyMap<string, Weight>, prefix = ""): PlacedWeights {
  const fed: Record<string, NDArray> = {};
  const stored: [string, StoredTensor][] = [];
  for (const [name, weight] of weights) {
    if (weight instanceof NDArray) fed[prefix + name] = weight;
    else stored.push([prefix + name, weight]);
  }
  if (stored.length === 0) return { fed, options: {} };
  const constantsFolder = commonFolder(stored.map(([, { location }]) => location!.source.path!));
  const constants = new Map(stored.map(([name, tensor]) => [name, mapped(name, tensor, constantsFolder)] as const));
  return { fed, options: { constants, constantsFolder } };
}

function mapped(name: string, tensor: StoredTensor, folder: string): ConstantWeight {
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

/** The values as float32, those in files read one at a time. */
export async function readWeights(weights: ReadonlyMap<string, Weight>): Promise<Map<string, NDArray<"float32">>> {
  const values = new Map<string, NDArray<"float32">>();
  for (const [name, weight] of weights) values.set(name, await readWeight(weight));
  return values;
}

/** One weight as float32. */
export async function readWeight(weight: Weight): Promise<NDArray<"float32">> {
  return asFloat32(weight instanceof NDArray ? weight : await weight.read());
}
