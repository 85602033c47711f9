/** Which model a command works on. */
import { InputError } from "../array/input-error.ts";
import { preset } from "../models/presets.ts";
import { type Model, modelOf } from "../models/registry.ts";
import { readJson } from "../storage/read.ts";
import type { OptionTable, Values } from "./option.ts";

export const modelOptions = {
  model: { kind: "text", fallback: "DiT-Digits", help: "preset: DiT-Digits, DiT-S/2, …, DiT-XL/2-512" },
  modelConfig: { kind: "text", help: "JSON file with a model configuration, instead of a preset" },
} as const satisfies OptionTable;

/** The model named by the options. */
export function namedModel({ model, modelConfig }: Values<typeof modelOptions>): Model {
  if (modelConfig === undefined) return preset(model);
  try {
    return modelOf(readJson(modelConfig), modelConfig);
  } catch (error) {
    if (error instanceof SyntaxError) throw new InputError(`${modelConfig}: not JSON: ${error.message}`);
    throw error;
  }
}
