/** Model files: weights of any format as a model, and the safetensors of our own that say themselves what they are. */

import { InputError } from "../array/input-error.ts";
import { type NDArray, NDArray as Values } from "../array/ndarray.ts";
import type { Weight } from "../engine/engine.ts";
import { storedAs } from "../formats/float16.ts";
import { streamSafetensors } from "../formats/safetensors-write.ts";
import { isMappable } from "../formats/weight-file.ts";
import type { Model } from "../models/registry.ts";
import { writeAtomically } from "../storage/atomic-write.ts";
import { type ChosenModel, chooseModel } from "./choose-model.ts";
import { hasDiffusersNames, requireEqualCopies } from "./diffusers-weights.ts";
import { describeModel, type ModelFacts } from "./model-description.ts";
import { type OpenedWeights, type OpenWeightsOptions, openWeights, unreadText, weightsSha256 } from "./open-weights.ts";
import { countNonFinite, type NonFinite, nonFiniteText } from "./output-files.ts";
import { readWeight, readWeights } from "./read-weights.ts";

export { describedModel, describeModel, type ModelFacts, type Pruning } from "./model-description.ts";
export { checkWeights, weightSpecs } from "./weight-specs.ts";

export interface ModelFile<W extends Weight = Weight> extends ModelFacts {
  readonly model: Model;
  /** All weights: values, or places in a file. */
  readonly tensors: ReadonlyMap<string, W>;
  readonly sha256: string;
  readonly path: string;
}

/** A model file that was just opened. */
export interface OpenedModel extends ModelFile {
  /** What a person should know: what was found out instead of told, and weights that are no numbers. */
  readonly notes: readonly string[];
  /** That `given` is another model than the file says it is; it was not used. */
  readonly contradiction?: string;
  /** What says that the model was trained on this process; undefined where that was assumed. */
  readonly processFrom?: string;
  /** The state dicts of a training checkpoint, of which one was taken. */
  readonly stateDicts: readonly string[];
}

/** A model whose weights are in memory. */
export type LoadedModel = ModelFile<NDArray<"float32">>;

/** From this size on, the weights of a file stay there: it is mapped by the sessions that need it. */
const MAPPED_FROM_BYTES = 2 ** 28;

export interface OpenModelOptions extends OpenWeightsOptions {
  readonly mappedFromBytes?: number;
}

/** A model whose weights are all where they are stored. */
export interface StoredModel extends ChosenModel {
  readonly opened: OpenedWeights;
}

/**
 * Weights of any format as a model, none of them read.
 * @throws InputError for a damaged file, naming every missing, unexpected and misshaped weight together, or asking for
 *   what the file does not say.
 */
export async function openStoredModel(
  path: string,
  given?: Model,
  options: OpenWeightsOptions = {},
): Promise<StoredModel> {
  const opened = await openWeights(path, options);
  const chosen = chosenModel(opened, given);
  const { wanted } = options;
  if ((wanted === "model" || wanted === "ema") && (wanted === "ema") !== (chosen.facts.weights === "ema")) {
    const held = chosen.facts.weights === "ema" ? "the moving average of weights" : "weights as trained";
    throw new InputError(`${path} holds ${held} and no others; ask for those, or for none in particular`);
  }
  if (hasDiffusersNames(opened.tensors.keys())) await requireEqualCopies(opened.tensors, path);
  return { ...chosen, opened };
}

/** As `chooseModel`; where a file does not fit, it also says which tensors of it are not read. */
function chosenModel(opened: OpenedWeights, given: Model | undefined): ChosenModel {
  try {
    return chooseModel(opened, given);
  } catch (error) {
    if (!(error instanceof InputError) || opened.unreadable.size === 0) throw error;
    throw new InputError(`${error.message}; ${unreadText(opened)}`);
  }
}

/**
 * A model with its weights where they are best: those of a small file in memory, those of a large one left where an
 * engine can map them. `given` says what model it is, for a file that does not.
 * @throws InputError as `openStoredModel`.
 */
export async function openModel(
  path: string,
  given?: Model,
  { mappedFromBytes = MAPPED_FROM_BYTES, ...options }: OpenModelOptions = {},
): Promise<OpenedModel> {
  const { facts, tensors: stored, notes, opened, ...chosen } = await openStoredModel(path, given, options);
  const isLarge = opened.files.reduce((sum, { size }) => sum + size, 0) >= mappedFromBytes;
  const tensors = new Map<string, Weight>();
  const notFinite = new Map<string, NonFinite>();
  for (const [name, tensor] of stored) {
    const stays = isLarge && isMappable(tensor);
    const weight = stays ? tensor : await readWeight(tensor);
    tensors.set(name, weight);
    if (weight instanceof Values) notFinite.set(name, countNonFinite(weight));
  }
  const warning = nonFiniteText(notFinite);
  const all = warning === undefined ? notes : [...notes, `${path} has ${warning}`];
  return {
    ...facts,
    ...chosen,
    sha256: await weightsSha256(opened),
    path,
    tensors,
    notes: all,
    stateDicts: opened.groups,
  };
}

/** A model file with all weights in memory. @throws InputError as `openModel`. */
export async function loadModel(path: string, given?: Model, options: OpenWeightsOptions = {}): Promise<LoadedModel> {
  const file = await openModel(path, given, options);
  return { ...file, tensors: await readWeights(file.tensors) };
}

/**
 * Writes a model file, one weight in memory at a time; `half` stores float16, which rounds the weights.
 * @throws InputError naming a weight that float16 cannot hold.
 */
export async function saveModel(
  path: string,
  model: Model,
  tensors: ReadonlyMap<string, Weight>,
  facts: ModelFacts,
  half = false,
): Promise<void> {
  const stored = Array.from(tensors, ([name, weight]) => {
    const { dtype, shape } = weight;
    const read = async () => (weight instanceof Values ? weight : weight.read());
    return storedAs({ name, dtype, shape, read }, half ? "float16" : "float32");
  });
  await writeAtomically(path, streamSafetensors(stored, describeModel(model, facts)));
}
