/** Which model a command works on. */
import { InputError } from "../array/input-error.ts";
import { sizeOf } from "../array/ndarray.ts";
import { processText } from "../diffusion/process.ts";
import { hasNullClass } from "../models/family.ts";
import { preset } from "../models/presets.ts";
import { type Model, modelOf } from "../models/registry.ts";
import { readJson } from "../storage/read.ts";
import { noNullClassText, stacksText } from "../weights/fitting-models.ts";
import { type OpenedModel, openModel as openModelFile, weightSpecs } from "../weights/model-file.ts";
import { refuseRepeatedKeys } from "./config-file.ts";
import { required, type SettingTable, type Values } from "./settings.ts";
import { chosenProcess, overridingSettings, type processSettings } from "./shared-settings.ts";
import { startTask, type TaskSettings } from "./task.ts";

export const modelSettings = {
  model: {
    kind: "text",
    fallback: "DiT-Digits",
    help: "preset such as DiT-Digits, DiT-XL/2, SiT-XL/2, MAR-L",
  },
  modelConfig: { kind: "text", help: "JSON file of a model configuration, instead of `model`" },
} as const satisfies SettingTable;

/** Options of commands that read weights of any origin. */
export const weightsSettings = {
  weights: {
    kind: "text",
    help: "state dict of a checkpoint: model, ema or its name [ema]",
  },
} as const satisfies SettingTable;

/** Options of commands that read model files. */
export const fileModelSettings = {
  model: { kind: "text", help: "preset, for files that do not name their model" },
  modelConfig: modelSettings.modelConfig,
  ...weightsSettings,
} as const satisfies SettingTable;

type FileModelValues = Values<typeof fileModelSettings>;

const openModelSettings = {
  file: { kind: "weights", help: "file or folder of weights" },
  ...fileModelSettings,
} as const satisfies SettingTable;

/**
 * The model in the weights that `file` names, of any format: a path, `hf:owner/name` or an https address. Large weights
 * stay in their file, from where an engine maps them.
 * @throws SettingError, InputError for a file that is no model, or one of another model than `model` or `modelConfig`.
 */
export async function openModel(settings: TaskSettings<typeof openModelSettings>): Promise<OpenedModel> {
  const { values, context } = await startTask(openModelSettings, settings);
  return openNamedModel(required("file", values.file), values, context.note);
}

/**
 * The model in a file, read as the options say; `note` hears what was found out instead of told.
 * @throws InputError for a file that is no model, or for options that name another model than the file does.
 */
export async function openNamedModel(
  path: string,
  values: FileModelValues & ProcessValues,
  note: (line: string) => void,
): Promise<OpenedModel> {
  const file = await openModelFile(path, givenModel(values), { wanted: values.weights });
  refuseContradiction(file);
  chosenProcess(values, file.model, file); // what does not apply is refused before it is noted
  noteAll(file, values, note);
  return file;
}

type ProcessValues = Partial<Values<typeof processSettings>>;

/** What a person should know of an opened file, and which options go against what it says. */
function noteAll(file: OpenedModel, values: ProcessValues, note: (line: string) => void): void {
  for (const line of file.notes) note(line);
  const flags = overridingSettings(values, file);
  if (flags === "") return;
  note(`${flags}: not as ${file.path} was trained (${processText(file.process)}, by ${file.processFrom})`);
}

/** Which weights of a file are taken. */
export function weightsText({ path, weights, stateDicts }: OpenedModel): string {
  const kind = weights === "ema" ? "averaged (EMA)" : "raw";
  const others = stateDicts.length > 1 ? ` (\`weights\` chooses among ${stateDicts.join(", ")})` : "";
  return `the ${kind} weights of ${path}${others}`;
}

/** @throws InputError for options that name another model than the file does. */
export function refuseContradiction({ contradiction }: { readonly contradiction?: string }): void {
  if (contradiction) throw new InputError(`${contradiction}; leave \`model\` and \`modelConfig\` out`);
}

/** One of two models of a command; the options say what the one is that does not say it itself. */
export async function openOneOfTwo(
  path: string,
  values: FileModelValues & ProcessValues,
  note: (line: string) => void,
): Promise<OpenedModel> {
  const file = await openModelFile(path, givenModel(values), { wanted: values.weights });
  noteAll(file, values, note);
  if (file.contradiction) note(`${file.contradiction}, and was not used for it`);
  return file;
}

/** What a model file without a description is taken for. */
export const givenModel = ({
  model,
  modelConfig,
}: Pick<FileModelValues, "model" | "modelConfig">): Model | undefined =>
  model === undefined && modelConfig === undefined ? undefined : namedModel({ model: model ?? "", modelConfig });

/** The model named by the options. */
export function namedModel({ model, modelConfig }: Values<typeof modelSettings>): Model {
  if (modelConfig === undefined) return preset(model);
  const found = readJson(modelConfig);
  refuseRepeatedKeys(modelConfig);
  return modelOf(found, modelConfig);
}

/** Numbers in weights of these shapes. */
export const parameterCount = (weights: Iterable<{ readonly shape: readonly number[] }>): number =>
  Array.from(weights).reduce((total, { shape }) => total + sizeOf(shape), 0);

/** A model in a few words. */
export function modelText(model: Model): string {
  const { family, inChannels, inputSize, numClasses } = model.config;
  const parameters = parameterCount(weightSpecs(model)).toLocaleString("en-US");
  return `${family}, ${stacksText(model)} blocks, ${parameters} parameters, ${inChannels} × ${inputSize} × ${inputSize}, ${numClasses} classes${hasNullClass(model.config) ? "" : noNullClassText}`;
}
