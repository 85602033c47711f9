/** Model files: safetensors that say themselves what they are, where they come from and which blocks they kept. */

import { InputError } from "../array/input-error.ts";
import type { NDArray } from "../array/ndarray.ts";
import { NDArray as Values } from "../array/ndarray.ts";
import { type Process, processOf } from "../diffusion/process.ts";
import { float32ToFloat16 } from "../formats/float16.ts";
import { encodeSafetensors, readSafetensorsHeader, readTensor } from "../formats/safetensors.ts";
import { isLayerMap } from "../models/layer-pairs.ts";
import { type Model, modelOf } from "../models/registry.ts";
import { Params, type WeightSpec } from "../nn/params.ts";
import { writeAtomically } from "../storage/atomic-write.ts";
import { fileBytes, sha256Of } from "../storage/read.ts";
import { isMappable, readWeight, readWeights, type Weight } from "./placed-weights.ts";

/** One pruning in a model's past: which blocks of which file were kept. */
export interface Pruning {
  /** SHA-256 of the parent's file. */
  readonly parent: string;
  readonly parentDepth: number;
  /** Blocks of the parent, ascending. */
  readonly kept: readonly number[];
  /** The groups the decision was made in, as written: "2:4". */
  readonly groups?: string;
  /** Student block → teacher block pairs for feature distillation. */
  readonly layerMap: readonly (readonly [number, number])[];
}

/** What a model file says of itself besides its configuration. */
export interface ModelFacts {
  /** Weights as trained, or their moving average. */
  readonly weights: "raw" | "ema";
  /** Images seen in all trainings. */
  readonly images: number;
  /** From the root to now. */
  readonly prunings: readonly Pruning[];
  /** The process the model was trained on. */
  readonly process: Process;
}

export interface ModelFile<W extends Weight = Weight> extends ModelFacts {
  readonly model: Model;
  /** All weights: values, or places in a file. */
  readonly tensors: ReadonlyMap<string, W>;
  readonly sha256: string;
  readonly path: string;
}

/** A model whose weights are in memory. */
export type LoadedModel = ModelFile<NDArray<"float32">>;

const KEY = "tinyfusion";

/** The metadata of a model file. */
export function describeModel(model: Model, facts: ModelFacts): Record<string, string> {
  return { [KEY]: JSON.stringify({ config: model.config, ...facts }), format: "pt" };
}

/** The names, shapes and starting values of all weights, by tracing the model once. */
export function weightSpecs({ family, config }: Model): WeightSpec[] {
  const p = new Params();
  family.trace(p, config);
  return p.specs();
}

/** From this size on, the weights of a file stay there: it is mapped by the sessions that need it. */
const MAPPED_FROM_BYTES = 2 ** 28;

/**
 * A model file with its weights where they are best: those of a small file in memory, those of a large one left where
 * an engine can map them. A file without our metadata needs `given`.
 * @throws InputError for a damaged file, or naming every missing, unexpected and misshaped weight together.
 */
export async function openModel(
  path: string,
  given?: Model,
  { mappedFromBytes = MAPPED_FROM_BYTES }: { readonly mappedFromBytes?: number } = {},
): Promise<ModelFile> {
  const source = await fileBytes(path);
  const { entries, metadata } = await readSafetensorsHeader(source);
  const described = describedModel(metadata, path);
  const model = described?.model ?? given;
  if (!model) {
    throw new InputError(`${path} does not say what model it is; name it with --model or --model-config`);
  }
  checkWeights(weightSpecs(model), new Map(entries.map((entry) => [entry.name, entry])), path);
  const tensors = new Map<string, Weight>();
  for (const entry of entries) {
    const place = { source, offset: entry.offset, byteLength: entry.byteLength };
    const stored = { ...entry, place, read: () => readTensor(source, entry) };
    const stays = source.size >= mappedFromBytes && isMappable(stored);
    tensors.set(entry.name, stays ? stored : await readWeight(stored));
  }
  const facts = described?.facts ?? {
    weights: "raw",
    images: 0,
    prunings: [],
    process: processOf(model.family.process),
  };
  return { ...facts, model, sha256: await sha256Of(source), path, tensors };
}

/** A model file with all weights in memory. @throws InputError as `openModel`. */
export async function loadModel(path: string, given?: Model): Promise<LoadedModel> {
  const file = await openModel(path, given);
  return { ...file, tensors: await readWeights(file.tensors) };
}

/**
 * What a file's metadata say of the model in it; undefined for a file of another origin.
 * @throws InputError for a damaged description.
 */
export function describedModel(
  metadata: Readonly<Record<string, string>>,
  path: string,
): { model: Model; facts: ModelFacts } | undefined {
  const text = metadata[KEY];
  if (text === undefined) return undefined;
  let json: ({ config?: unknown } & Partial<ModelFacts>) | null;
  try {
    json = JSON.parse(text);
  } catch {
    throw new InputError(`${path}: the "${KEY}" metadata is not JSON`);
  }
  const { config, ...facts } = json ?? {};
  const model = modelOf(config, `${path}: model configuration`);
  return { model, facts: checkedFacts(facts, model, path) };
}

/** What a file says of itself; what it leaves out gets a default. @throws InputError naming the first wrong field. */
function checkedFacts(found: Partial<ModelFacts>, model: Model, path: string): ModelFacts {
  const { weights = "raw", images = 0, prunings = [] } = found;
  const wrong = (expected: string) => new InputError(`${path}: the "${KEY}" metadata is damaged: expected ${expected}`);
  if (weights !== "raw" && weights !== "ema") throw wrong("weights raw or ema");
  if (!Number.isSafeInteger(images) || images < 0) throw wrong("images, a whole number");
  if (!Array.isArray(prunings) || !prunings.every(isPruning)) {
    throw wrong("prunings, each with parent, parentDepth, kept blocks of the parent, and a layerMap between the two");
  }
  const before = [...prunings.map(({ parentDepth }) => parentDepth), model.config.depth];
  if (!prunings.every(({ kept }, i) => kept.length === before[i + 1])) {
    throw wrong(`prunings, each keeping as many blocks as the next or the model has (${before.slice(1).join(", ")})`);
  }
  const process = processOf(model.family.process, found.process, `${path}: the "${KEY}" metadata: the process`);
  return { weights, images, prunings, process };
}

function isPruning(entry: Partial<Pruning> | null): entry is Pruning {
  const { parent, parentDepth, kept, groups = "", layerMap } = entry ?? {};
  if (typeof parent !== "string" || typeof groups !== "string" || !Array.isArray(kept)) return false;
  const depth = Number.isSafeInteger(parentDepth) ? parentDepth! : 0;
  const ascending = kept.every(
    (block, i) => Number.isSafeInteger(block) && block > (kept[i - 1] ?? -1) && block < depth,
  );
  return ascending && isLayerMap(layerMap, kept.length, depth);
}

/** Compares names and shapes. @throws InputError listing all differences together. */
export function checkWeights(
  specs: readonly WeightSpec[],
  found: ReadonlyMap<string, Pick<NDArray, "shape" | "dtype">>,
  where: string,
): void {
  const expected = new Map(specs.map(({ name, shape }) => [name, shape]));
  const missing = specs.filter(({ name }) => !found.has(name)).map(({ name, shape }) => `${name} [${shape}]`);
  const unexpected = [...found].filter(([name]) => !expected.has(name)).map(([name, x]) => `${name} [${x.shape}]`);
  const misshaped = [...found].flatMap(([name, x]) => {
    const shape = expected.get(name);
    if (shape && String(shape) !== String(x.shape)) return [`${name} expects [${shape}], file has [${x.shape}]`];
    return !shape || /float/.test(x.dtype) ? [] : [`${name} expects floating-point numbers, file has ${x.dtype}`];
  });
  const problems = [
    ...(missing.length > 0 ? [`missing ${listed(missing)}`] : []),
    ...(unexpected.length > 0 ? [`unexpected ${listed(unexpected)}`] : []),
    ...(misshaped.length > 0 ? [`misshaped ${listed(misshaped)}`] : []),
  ];
  if (problems.length > 0) throw new InputError(`${where} does not fit the model: ${problems.join("; ")}`);
}

const listed = (items: readonly string[]): string => `(${items.length}): ${items.join(", ")}`;

/** Writes a model file; `half` stores float16, which rounds the weights. */
export async function saveModel(
  path: string,
  model: Model,
  tensors: ReadonlyMap<string, Weight>,
  facts: ModelFacts,
  half = false,
): Promise<void> {
  const values = await readWeights(tensors);
  const stored = half ? new Map(Array.from(values, ([name, x]) => [name, toHalf(x)])) : values;
  await writeAtomically(path, encodeSafetensors(stored, describeModel(model, facts)));
}

function toHalf(x: NDArray): NDArray {
  return x.dtype === "float32" ? new Values("float16", x.shape, float32ToFloat16(x.data as Float32Array)) : x;
}
