/** What is in a safetensors file, from its header and metadata: no tensor is loaded, so files of any size are fine. */
import { sizeOf } from "../array/ndarray.ts";
import { readSafetensorsHeader, type TensorEntry } from "../formats/safetensors.ts";
import type { ModelConfig } from "../models/family.ts";
import type { Model } from "../models/registry.ts";
import { openByteRanges, sha256Of } from "../storage/read.ts";
import { CLASSIFIER_METADATA } from "../training/classifier.ts";
import { describedModel, type ModelFacts, weightSpecs } from "../weights/model-file.ts";
import { misfit, presetName, presetsThatFit } from "./inspect-fit.ts";
import { parameterCount } from "./model-options.ts";

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
  readonly kind: "model" | "digit classifier" | "tensors";
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Tensors of each element type. */
  readonly dtypes: Readonly<Record<string, number>>;
  readonly parameters: ParameterFacts;
  readonly model: ModelInFile | null;
  /** Presets whose weights these could be, for a file that does not say. */
  readonly fits: readonly string[];
  /** Further metadata, as they stand in the file. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Why the tensors are not what the description says. */
  readonly problem: string | null;
  readonly tensors: readonly Pick<TensorEntry, "name" | "dtype" | "shape">[];
}

/** @throws InputError for a file that is not safetensors, or whose description is damaged. */
export async function inspectFile(path: string): Promise<FileFacts> {
  const source = await openByteRanges(path);
  try {
    const { entries, metadata } = await readSafetensorsHeader(source);
    const described = describedModel(metadata, path);
    const dtypes: Record<string, number> = {};
    for (const { dtype } of entries) dtypes[dtype] = (dtypes[dtype] ?? 0) + 1;
    return {
      kind: described ? "model" : metadata[CLASSIFIER_METADATA] === undefined ? "tensors" : "digit classifier",
      path,
      bytes: source.size,
      sha256: await sha256Of(source),
      dtypes,
      parameters: parametersOf(entries, described?.model),
      model: described ? modelInFile(described.model, described.facts) : null,
      fits: described ? [] : presetsThatFit(entries),
      metadata: furtherMetadata(metadata),
      problem: described ? misfit(entries, described.model, path) : null,
      tensors: entries.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
    };
  } finally {
    await source.close();
  }
}

function parametersOf(entries: readonly TensorEntry[], model: Model | undefined): ParameterFacts {
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

/** Metadata but our own description; JSON where it is some. */
function furtherMetadata(metadata: Readonly<Record<string, string>>): Record<string, unknown> {
  const others = Object.entries(metadata).filter(([name]) => name !== "tinyfusion" && name !== "format");
  return Object.fromEntries(
    others.map(([name, text]) => {
      try {
        return [name, JSON.parse(text) as unknown];
      } catch {
        return [name, text];
      }
    }),
  );
}
