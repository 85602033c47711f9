/** Which model a command works on. */
import { sizeOf } from "../array/ndarray.ts";
import { preset } from "../models/presets.ts";
import { type Model, modelOf } from "../models/registry.ts";
import { readJson } from "../storage/read.ts";
import { weightSpecs } from "../weights/model-file.ts";
import type { OptionTable, Values } from "./option.ts";

export const modelOptions = {
  model: {
    kind: "text",
    fallback: "DiT-Digits",
    help: "preset: DiT-Digits, DiT-XL/2, SiT-Digits, SiT-XL/2, MAR-Digits, MAR-L, …; an unknown name lists all",
  },
  modelConfig: { kind: "text", help: "JSON file with a model configuration, instead of a preset" },
} as const satisfies OptionTable;

/** Options of commands that read model files. */
export const fileModelOptions = {
  model: { kind: "text", help: "preset, for a file that does not say what model it is" },
  modelConfig: modelOptions.modelConfig,
} as const satisfies OptionTable;

/** What a model file without a description is taken for. */
export const givenModel = ({ model, modelConfig }: Values<typeof fileModelOptions>): Model | undefined =>
  model === undefined && modelConfig === undefined ? undefined : namedModel({ model: model ?? "", modelConfig });

/** The model named by the options. */
export function namedModel({ model, modelConfig }: Values<typeof modelOptions>): Model {
  return modelConfig === undefined ? preset(model) : modelOf(readJson(modelConfig), modelConfig);
}

/** Numbers in weights of these shapes. */
export const parameterCount = (weights: Iterable<{ readonly shape: readonly number[] }>): number =>
  Array.from(weights).reduce((total, { shape }) => total + sizeOf(shape), 0);

/** How many blocks each stack has: `28`, `14 + 14`. */
export const stacksText = ({ family, config }: Model): string => family.stacks(config).join(" + ");

/** A model in a few words. */
export function modelText(model: Model): string {
  const { family, inChannels, inputSize, numClasses } = model.config;
  const parameters = parameterCount(weightSpecs(model)).toLocaleString("en-US");
  return `${family}, ${stacksText(model)} blocks, ${parameters} parameters, ${inChannels} × ${inputSize} × ${inputSize}, ${numClasses} classes`;
}
