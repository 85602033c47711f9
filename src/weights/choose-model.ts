/** Which model opened weights are: by their own description, by diffusers' configuration, as told, or by their shapes. */

import { InputError } from "../array/input-error.ts";
import { type Process, processOf, processText } from "../diffusion/process.ts";
import type { StoredTensor } from "../formats/weight-file.ts";
import type { DiTConfig } from "../models/dit/config.ts";
import { hasNullClass } from "../models/family.ts";
import { presets } from "../models/presets.ts";
import type { Model } from "../models/registry.ts";
import { fittingAutoencoder } from "./autoencoder-file.ts";
import { modelFromDiffusers, processFromDiffusers, samplingNotes } from "./diffusers-config.ts";
import { fromDiffusers, hasDiffusersNames } from "./diffusers-weights.ts";
import { type FittingModel, presetName, presetsThatFit, shallowFit, stacksText } from "./fitting-models.ts";
import { describedModel, type ModelFacts } from "./model-description.ts";
import { differencesBetween, modelFromShapes, relatedModels, relatedText } from "./model-from-shapes.ts";
import type { OpenedWeights } from "./open-weights.ts";
import { argumentsIn, modelFromArguments, processFromArguments, samplingNote } from "./training-arguments.ts";
import { checkWeights, fitsWeights, weightSpecs } from "./weight-specs.ts";

type Tensors = ReadonlyMap<string, StoredTensor>;

/** Weights under our names, and the model that they are said to be. */
export interface SaidModel {
  readonly model: Model;
  readonly facts: ModelFacts;
  readonly tensors: Tensors;
}

/** Weights as a model: names are ours, shapes are checked. */
export interface ChosenModel extends SaidModel {
  /** What was found out instead of told, for people. */
  readonly notes: readonly string[];
  /** What says that the model was trained on this process: `its description`; undefined where that was assumed. */
  readonly processFrom?: string;
  /** That a person named another model than the file says it is: wrong, or meant for another file. */
  readonly contradiction?: string;
}

/**
 * The model of weights; `given` is what a person says they are, and counts where the file says nothing.
 * @throws InputError listing all that does not fit, or asking for what shapes cannot tell.
 */
export function chooseModel(opened: OpenedWeights, given?: Model): ChosenModel {
  const described = describedModel(opened.metadata, opened.path);
  if (described) {
    const tensors = namedAsOurs(opened.tensors, described.model);
    checkWeights(weightSpecs(described.model), tensors, opened.path);
    checkScheduler(opened, described.facts);
    return { ...described, tensors, notes: opened.notes, ...contradicting(opened, described.model, given) };
  }
  const said = foreignModel(opened) ?? argumentsModel(opened);
  const isDiffusers = hasDiffusersNames(opened.tensors.keys());
  const found = isDiffusers
    ? diffusersModel(opened, said?.model ?? given)
    : originalModel(opened, said?.model ?? given);
  const { model } = found;
  const facts = said?.facts ?? foreignFacts(model, opened.weights, processOfArguments(opened, model));
  const processFrom = said?.processFrom ?? (processOfArguments(opened, model) && ARGUMENTS);
  const args = argumentsIn(opened.otherEntries);
  const sampling = args ? samplingNote(args, model.family.process, opened.path) : [];
  const notes = [...opened.notes, ...(said?.notes ?? []), ...sampling, ...found.notes];
  return {
    ...found,
    facts,
    notes,
    ...(processFrom && { processFrom }),
    ...(said && contradicting(opened, said.model, given)),
  };
}

/** @throws InputError for a scheduler beside described weights that is another process than they were trained on. */
function checkScheduler({ diffusers, tensors }: OpenedWeights, { process }: ModelFacts): void {
  const { scheduler } = diffusers ?? {};
  if (!scheduler || !hasDiffusersNames(tensors.keys())) return;
  const found = processFromDiffusers(scheduler);
  if (JSON.stringify(found) === JSON.stringify(process)) return;
  throw new InputError(
    `${scheduler.where} says ${processText(found)}, the weights themselves ${processText(process)}; correct the file, or remove it`,
  );
}

/** Fields in which a model may differ from the one it was pruned from, and what a preset does not say. */
const prunedFields: readonly string[] = ["depth", "encoderDepth", "decoderDepth", "keptHeads", "mlpSize", "nullClass"];

/** What to say of a given model that is another than the weights say, in more than what pruning changes. */
function contradicting(
  { path }: OpenedWeights,
  { family, config }: Model,
  given: Model | undefined,
): Pick<ChosenModel, "contradiction"> {
  if (!given) return {};
  const fields = (of: object): string =>
    JSON.stringify(Object.entries(of).filter(([name]) => !prunedFields.includes(name)));
  if (family === given.family && fields(family.parse(config)) === fields(family.parse(given.config))) return {};
  const name = presetName({ family, config }) ?? `a ${family.name} model of its own sizes`;
  return { contradiction: `${path} says itself that it is ${name}; the model that was named is another` };
}

/** The tensors of a described file under our names; those in a folder of diffusers have its names. */
export function namedAsOurs(tensors: Tensors, { config }: Model): Tensors {
  return hasDiffusersNames(tensors.keys()) ? fromDiffusers(tensors, config as DiTConfig) : tensors;
}

/**
 * What diffusers' files beside the weights say of them; nothing is compared. Undefined where there are none, or not a
 * DiT's.
 * @throws InputError for a configuration or a scheduler of another kind of DiT.
 */
export function foreignModel({ diffusers, tensors, weights }: OpenedWeights): ForeignModel | undefined {
  if (!diffusers || !hasDiffusersNames(tensors.keys())) return undefined;
  const model = modelFromDiffusers(diffusers.config);
  const process = diffusers.scheduler && processFromDiffusers(diffusers.scheduler);
  return {
    model,
    facts: foreignFacts(model, weights, process),
    tensors: fromDiffusers(tensors, model.config as DiTConfig),
    notes: diffusers.scheduler ? samplingNotes(diffusers.scheduler) : [],
    ...(process && { processFrom: "its scheduler_config.json" }),
  };
}

/** A model that other files or arguments beside the weights describe. */
type ForeignModel = Omit<ChosenModel, "contradiction">;

const ARGUMENTS = "the arguments in it";

/**
 * What the arguments in a training checkpoint say of its weights; undefined where there are none, or they name no model
 * that could have these.
 * @throws InputError for a process that we do not have, or sizes that are not those of the weights.
 */
export function argumentsModel(opened: OpenedWeights): ForeignModel | undefined {
  const { tensors, path, weights } = opened;
  const args = argumentsIn(opened.otherEntries);
  const model = args && modelFromArguments(args, tensors, path);
  if (!model) return undefined;
  const process = processOfArguments(opened, model);
  const notes = [`${path} is taken for ${presetName(model) ?? modelSizes(model)}: its arguments say so`];
  const facts = foreignFacts(model, weights, process);
  return { model, facts, tensors, notes, ...(process && { processFrom: ARGUMENTS }) };
}

function processOfArguments({ otherEntries, path }: OpenedWeights, { family }: Model): Process | undefined {
  const args = argumentsIn(otherEntries);
  return args && processFromArguments(args, family.process, path);
}

/** A model of its own sizes in a few words. */
const modelSizes = ({ config }: Model): string => `a model of ${JSON.stringify(config)}`;

/** What is assumed of weights that say nothing. */
function foreignFacts({ family }: Model, weights: "raw" | "ema" = "raw", process?: Process): ModelFacts {
  return { weights, images: 0, prunings: [], process: process ?? processOf(family.process) };
}

type Found = Pick<ChosenModel, "model" | "tensors" | "notes">;

/** Weights with diffusers' names: the configuration beside them says the model, else a person has to. */
function diffusersModel(opened: OpenedWeights, model: Model | undefined): Found {
  if (!model) {
    const fits = diffusersFits(opened.tensors);
    throw new InputError(
      `${opened.path} has diffusers' names but no config.json beside it, which says the size of images; ${advice(fits)}`,
    );
  }
  if (model.family.name !== "dit") {
    throw new InputError(`${opened.path} has the names of diffusers' DiT, which is no ${model.family.name} model`);
  }
  return fitted(model, fromDiffusers(opened.tensors, model.config as DiTConfig), opened.path);
}

/** Presets of DiT that the weights could be, whose positions diffusers does not store. */
export function diffusersFits(tensors: Tensors): FittingModel[] {
  const configs = [...presets.values()].filter(({ family }) => family === "dit") as DiTConfig[];
  const sizes = new Map(
    configs.map((config) => [`${config.inputSize} ${config.patchSize} ${config.hiddenSize}`, config]),
  );
  const fits = Array.from(sizes.values()).flatMap((config) => presetsThatFit(fromDiffusers(tensors, config)));
  const unique = new Map(fits.filter(({ model }) => model.family.name === "dit").map((fit) => [fit.text, fit]));
  return [...unique.values()];
}

/** Weights with the originals' names, which are ours. */
function originalModel(opened: OpenedWeights, given: Model | undefined): Found {
  const { tensors, path } = opened;
  if (given) return fitted(given, tensors, path);
  const fits = presetsThatFit(tensors);
  const [only] = fits;
  if (!only || fits.length > 1) throw new InputError(`${path} does not say what model it is${question(opened, fits)}`);
  const why = "no other preset has these names and shapes";
  return { model: only.model, tensors, notes: [`${path} is taken for ${only.text}: ${why}`] };
}

function question({ tensors }: OpenedWeights, fits: readonly FittingModel[]): string {
  if (fits.length > 0) return `; ${advice(fits)}`;
  const autoencoder = fittingAutoencoder(tensors);
  if (autoencoder) return `: it holds the autoencoder ${autoencoder}, which is given with \`vae\``;
  const related = relatedModels(tensors);
  if (related.length > 0) return `, and no preset has its names and shapes; ${relatedText(related)}`;
  return "; name it with `model` or `modelConfig` (no preset has its names and shapes)";
}

function advice(fits: readonly FittingModel[]): string {
  if (fits.length === 0) return "name it with `model` or `modelConfig`";
  const names = fits.map(({ text }) => text).join(" or ");
  const flags = [...new Set(fits.map(({ preset }) => `\`model\` ${preset}`))].join(" or ");
  return `by names and shapes it could be ${names}; name it with ${flags}`;
}

/**
 * The named model, or the same with as many blocks as there are weights for.
 * @throws InputError listing all differences, and the presets that would fit.
 */
function fitted(model: Model, tensors: Tensors, path: string): Found {
  const specs = weightSpecs(model);
  if (fitsWeights(specs, tensors)) return { model, tensors, notes: [] };
  const shallow = shallowFit(model, tensors);
  if (shallow) return { model: shallow, tensors, notes: fewerNotes(path, model, shallow) };
  const fits = presetsThatFit(tensors);
  const would = fits.length > 0 ? `; these weights would fit ${fits.map(({ text }) => text).join(" or ")}` : "";
  const isOwnFamily = fits.some(({ model: { family } }) => family === model.family);
  const other = isOwnFamily ? undefined : modelFromShapes(tensors, model);
  if (other) {
    const [like, differences] = [presetName(model) ?? "the named model", differencesBetween(model, other)];
    throw new InputError(
      `${path} does not fit the model: ${relatedText([{ like, model: other, differences }])}${would}`,
    );
  }
  try {
    checkWeights(specs, tensors, path);
  } catch (error) {
    throw error instanceof InputError && would !== "" ? new InputError(`${error.message}${would}`) : error;
  }
  return { model, tensors, notes: [] };
}

/** What weights have less than the model that was named. */
function fewerNotes(path: string, model: Model, found: Model): string[] {
  const [own, whole] = [stacksText(found), stacksText(model)];
  return [
    ...(own === whole ? [] : [`${path} has ${own} of the model's ${whole} blocks`]),
    ...(hasNullClass(found.config) || !hasNullClass(model.config)
      ? []
      : [`${path} was trained without dropping labels: its table has no row for "no label", so there is no guidance`]),
  ];
}
