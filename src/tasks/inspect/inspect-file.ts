/** What is in a file or folder of weights, from its description: no tensor is loaded, so any size is fine. */
import { InputError } from "../../array/input-error.ts";
import { type DType, sizeOf } from "../../array/ndarray.ts";
import type { StoredTensor } from "../../formats/weight-file.ts";
import type { ModelConfig } from "../../models/family.ts";
import type { Model } from "../../models/registry.ts";
import { CLASSIFIER_METADATA } from "../../training/classifier.ts";
import { fittingAutoencoder, storedAutoencoder } from "../../weights/autoencoder-file.ts";
import { argumentsModel, foreignModel, namedAsOurs, type SaidModel } from "../../weights/choose-model.ts";
import { presetName, presetsThatFit } from "../../weights/fitting-models.ts";
import { describedModel, type ModelFacts, weightSpecs } from "../../weights/model-file.ts";
import { type OpenedWeights, type OpenWeightsOptions, openWeights, weightsSha256 } from "../../weights/open-weights.ts";
import { countNonFinite, type NonFinite } from "../../weights/output-files.ts";
import { misfit } from "../../weights/weight-specs.ts";
import { parameterCount } from "../model-settings.ts";

/** Numbers in the weights, by where they are. */
export interface ParameterFacts {
  readonly total: number;
  /** In each block, in forward order; empty for a file that does not say where its blocks are. */
  readonly blocks: readonly number[];
  readonly outsideBlocks: number;
  /** Of the total: constants that training never changes. */
  readonly constant: number;
}

/** What a model file says of itself. */
export interface ModelInFile extends ModelFacts {
  readonly config: ModelConfig;
  /** How many blocks each stack has, in forward order. */
  readonly stacks: readonly number[];
  /** "DiT-Digits", "DiT-Digits with 14 of 28 blocks", or null. */
  readonly preset: string | null;
  /** The kept blocks under the numbers they had before the first pruning; null for an unpruned model. */
  readonly keptOfRoot: readonly number[] | null;
}

export interface FileFacts {
  readonly kind: "model" | "digit classifier" | "autoencoder" | "tensors";
  readonly path: string;
  /** `safetensors`, `PyTorch (zip)`, …, and whether a folder of diffusers holds it. */
  readonly format: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Tensors of each element type. */
  readonly dtypes: Readonly<Record<string, number>>;
  readonly parameters: ParameterFacts;
  readonly model: ModelInFile | null;
  /** Presets whose weights these could be, for a file that does not say. */
  readonly fits: readonly string[];
  /** State dicts of a training checkpoint; `taken` is the one that is told of. */
  readonly stateDicts: readonly string[];
  readonly taken: "raw" | "ema" | null;
  /** What a training checkpoint holds beside them. */
  readonly beside: Readonly<Record<string, unknown>>;
  /** Classes and functions that a training checkpoint names and that are not known; their objects are inert. */
  readonly placeholders: readonly string[];
  /** Tensors that are not read, and why not. */
  readonly unreadable: Readonly<Record<string, string>>;
  /** Further metadata, as they stand in the file. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Tensors with elements that are no numbers; null if nobody looked. */
  readonly notFinite: Readonly<Record<string, NonFinite>> | null;
  readonly notes: readonly string[];
  /** Why the tensors are not what the description says. */
  readonly problem: string | null;
  readonly tensors: readonly { readonly name: string; readonly dtype: DType; readonly shape: readonly number[] }[];
}

export interface InspectOptions extends OpenWeightsOptions {
  /** Read all values and count those that are not finite. */
  readonly check?: boolean;
}

/** @throws InputError for a file that holds no weights, or whose description is damaged. */
export async function inspectFile(
  path: string,
  { check = false, ...options }: InspectOptions = {},
): Promise<FileFacts> {
  const opened = await openWeights(path, options);
  const { said, problem } = saidModel(opened);
  const entries = [...opened.tensors.values()];
  const dtypes: Record<string, number> = {};
  for (const { dtype } of entries) dtypes[dtype] = (dtypes[dtype] ?? 0) + 1;
  const autoencoder = said || opened.metadata[CLASSIFIER_METADATA] !== undefined ? null : autoencoderIn(opened);
  const tensors = said ? said.tensors : opened.tensors;
  return {
    kind: kindOf(opened, said, autoencoder),
    path,
    format: formatOf(opened),
    bytes: opened.files.reduce((sum, { size }) => sum + size, 0),
    sha256: await weightsSha256(opened),
    dtypes,
    parameters: parametersOf([...tensors.values()], said?.model),
    model: said ? modelInFile(said.model, said.facts) : null,
    fits: said ? [] : (autoencoder ?? presetsThatFit(opened.tensors).map(({ text }) => text)),
    stateDicts: opened.groups,
    taken: opened.weights ?? null,
    beside: opened.otherEntries,
    placeholders: opened.placeholders,
    unreadable: Object.fromEntries(opened.unreadable),
    metadata: furtherMetadata(opened.metadata),
    notFinite: check ? await notFiniteIn(entries) : null,
    notes: [...opened.notes, ...(said?.notes ?? [])],
    problem: said ? misfit(weightSpecs(said.model), said.tensors, path) : problem,
    tensors: entries.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
  };
}

interface Said {
  readonly said: (SaidModel & { readonly notes?: readonly string[] }) | undefined;
  readonly problem: string | null;
}

/** The model that the file, or what is beside its weights, says they are; arguments that cannot be used are a problem. */
function saidModel(opened: OpenedWeights): Said {
  const described = describedModel(opened.metadata, opened.path);
  if (described) {
    return { said: { ...described, tensors: namedAsOurs(opened.tensors, described.model) }, problem: null };
  }
  const foreign = foreignModel(opened);
  if (foreign) return { said: foreign, problem: null };
  try {
    return { said: argumentsModel(opened), problem: null };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return { said: undefined, problem: error.message };
  }
}

function kindOf(
  { metadata }: OpenedWeights,
  said: SaidModel | undefined,
  autoencoder: readonly string[] | null,
): FileFacts["kind"] {
  if (said) return "model";
  if (metadata[CLASSIFIER_METADATA] !== undefined) return "digit classifier";
  return autoencoder ? "autoencoder" : "tensors";
}

/** Names of the autoencoder that these weights are: one, or none where only its configuration is known. */
function autoencoderIn(opened: OpenedWeights): readonly string[] | null {
  const preset = fittingAutoencoder(opened.tensors);
  if (preset !== undefined) return [preset];
  const { _class_name: name } = (opened.diffusers?.config.json ?? {}) as { _class_name?: unknown };
  if (name !== "AutoencoderKL") return null;
  storedAutoencoder(opened);
  return [];
}

const formatOf = ({ format, diffusers }: OpenedWeights): string =>
  diffusers ? `${format}, in a folder of diffusers` : format;

function parametersOf(entries: readonly StoredTensor[], model: Model | undefined): ParameterFacts {
  const total = parameterCount(entries);
  if (!model) return { total, blocks: [], outsideBlocks: total, constant: 0 };
  const scopes = model.family.blockScopes(model.config);
  const blocks = new Map(scopes.map((scope) => [scope, 0]));
  for (const { name, shape } of entries) {
    const scope = scopes.find((prefix) => name.startsWith(`${prefix}.`));
    if (scope !== undefined) blocks.set(scope, blocks.get(scope)! + sizeOf(shape));
  }
  const inBlocks = [...blocks.values()].reduce((sum, count) => sum + count, 0);
  const constant = parameterCount(weightSpecs(model).filter(({ init }) => init.kind === "fixed"));
  return { total, blocks: [...blocks.values()], outsideBlocks: total - inBlocks, constant };
}

function modelInFile(model: Model, facts: ModelFacts): ModelInFile {
  const { family, config } = model;
  const keptOfRoot = facts.prunings.reduce<readonly number[] | null>(
    (root, { kept }) => (root === null ? kept : kept.map((block) => root[block]!)),
    null,
  );
  return { config, stacks: family.stacks(config), preset: presetName(model), ...facts, keptOfRoot };
}

/** Metadata but our own description; JSON where it is some that can be shown. */
function furtherMetadata(metadata: Readonly<Record<string, string>>): Record<string, unknown> {
  const others = Object.entries(metadata).filter(([name]) => name !== "tinyfusion" && name !== "format");
  return Object.fromEntries(
    others.map(([name, text]) => {
      try {
        const value: unknown = JSON.parse(text);
        JSON.stringify(value); // throws for what is nested too deep to be shown
        return [name, value];
      } catch {
        return [name, text];
      }
    }),
  );
}

/** Reads one tensor after the other. */
async function notFiniteIn(tensors: readonly StoredTensor[]): Promise<Record<string, NonFinite>> {
  const found: Record<string, NonFinite> = Object.create(null);
  for (const tensor of tensors) {
    const counts = countNonFinite(await tensor.read());
    if (counts.nan + counts.infinite > 0) found[tensor.name] = counts;
  }
  return found;
}
