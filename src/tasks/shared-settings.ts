/** Options that several commands have, and the things they name. */
import { InputError } from "../array/input-error.ts";
import {
  type Process,
  pathNames,
  predictionNames,
  processFields,
  processOf,
  weightingNames,
} from "../diffusion/process.ts";
import { scheduleNames } from "../diffusion/schedule.ts";
import { type DeviceName, deviceNames } from "../engine/devices.ts";
import { hasNullClass, requireNullClass } from "../models/family.ts";
import type { Model } from "../models/registry.ts";
import { adamWDefaults } from "../training/adamw.ts";
import type { TrainSettings } from "../training/train.ts";
import type { ModelFile, OpenedModel } from "../weights/model-file.ts";
import { quoted, type Setting, type Values } from "./settings.ts";
import type { TaskContext } from "./task.ts";

export const seedSetting = {
  kind: "integer",
  fallback: 0,
  min: 0,
  help: "seed of every random draw",
} as const satisfies Setting;

/** Where a task computes. */
export const engineSettings = {
  threads: {
    kind: "integer",
    fallback: 2,
    min: 1,
    max: 1024,
    help: "threads; results are bit-equal only for equal numbers",
  },
  device: { kind: "choice", choices: deviceNames, fallback: "cpu", help: "where programs run and arrays live" },
} as const satisfies Record<string, Setting>;

/** A device other than the CPU, as what is recorded of a result. */
export const recordedDevice = ({ device }: { readonly device: DeviceName }): { readonly device?: DeviceName } =>
  device === "cpu" ? {} : { device };

/** Options of every training loop. */
export const loopSettings = {
  out: { kind: "folder", help: "run folder; an existing run is resumed" },
  logEvery: {
    kind: "integer",
    fallback: 10,
    min: 0,
    zeroIsOff: true,
    help: "steps between log lines; 0: only the last",
  },
  saveEvery: {
    kind: "integer",
    fallback: 500,
    min: 0,
    zeroIsOff: true,
    help: "steps between checkpoints; 0: only at the end",
  },
  keepCheckpoints: { kind: "integer", fallback: 2, min: 1, help: "number of checkpoints kept" },
  onNan: { kind: "choice", choices: ["stop", "skip"], fallback: "stop", help: "response to a loss that is not finite" },
  extend: {
    kind: "choice",
    choices: ["rewind", "keep"],
    bare: "rewind",
    help: "more steps: schedules recomputed, or their last values kept",
  },
  seed: seedSetting,
  ...engineSettings,
} as const satisfies Record<string, Setting>;

/** Options of every optimizer. */
export const optimizerSettings = {
  steps: { kind: "integer", fallback: 10000, min: 1, help: "optimizer steps" },
  batchSize: { kind: "integer", fallback: 32, min: 1, help: "images of an optimizer step" },
  microBatch: {
    kind: "integer",
    min: 1,
    help: "images of one forward and backward pass [`batchSize`]",
  },
  recompute: { kind: "flag", help: "gradient checkpointing: much less memory, a third more time" },
  learningRate: { kind: "number", fallback: 1e-4, min: 0, help: "peak learning rate" },
  lrSchedule: {
    kind: "choice",
    choices: ["constant", "cosine"],
    fallback: "constant",
    help: "learning rate schedule",
  },
  finalLr: { kind: "number", fallback: 0, min: 0, help: "final learning rate of cosine" },
  warmupSteps: { kind: "integer", fallback: 0, min: 0, help: "steps of linear warm-up" },
  weightDecay: { kind: "number", fallback: 0, min: 0, zeroIsOff: true, help: "weight decay of AdamW" },
  clipNorm: {
    kind: "number",
    fallback: 1,
    min: 0,
    zeroIsOff: true,
    help: "largest global gradient norm; 0: no clipping",
  },
  emaDecay: {
    kind: "number",
    fallback: 0.9999,
    min: 0,
    max: 1,
    help: "decay of the moving average of the weights; 0: none",
  },
  emaWarmup: {
    kind: "choice",
    choices: ["on", "none"],
    fallback: "on",
    help: "EMA decay min(`emaDecay`, (1+k)/(10+k)) at step k",
  },
} as const satisfies Record<string, Setting>;

/** Options of the process that joins noise and data, where it is sampled; each belongs to one kind of process. */
export const samplingProcessSettings = {
  schedule: {
    kind: "choice",
    choices: scheduleNames,
    help: "DiT, MAR: noise schedule [the file's; linear; MAR: squaredcos_cap_v2]",
  },
  diffusionSteps: {
    kind: "integer",
    min: 1,
    max: 100_000,
    help: "DiT, MAR: diffusion steps [the file's, or 1000]",
  },
  flowPath: { kind: "choice", choices: pathNames, help: "SiT: path from noise to data [the file's, or linear]" },
  prediction: {
    kind: "choice",
    choices: predictionNames,
    help: "SiT: prediction of the model [the file's, or velocity]",
  },
  sampleEpsilon: {
    kind: "number",
    min: 1e-9,
    max: 0.5,
    help: "SiT: distance of sampling from singular times [1e-3]",
  },
} as const satisfies Record<string, Setting>;

/** The same, where it is trained. */
export const processSettings = {
  ...samplingProcessSettings,
  lossWeighting: {
    kind: "choice",
    choices: weightingNames,
    help: "SiT: loss weight of noise and score [the file's, or none]",
  },
  trainEpsilon: {
    kind: "number",
    min: 1e-9,
    max: 0.5,
    help: "SiT: distance of training from singular times [1e-3; vp: 1e-5]",
  },
  tokenCopies: {
    kind: "integer",
    min: 1,
    max: 64,
    help: "MAR: noised copies of each masked token [the file's, or 4]",
  },
} as const satisfies Record<string, Setting>;

/** The fields of a process that the options name. */
const processFieldOf = {
  schedule: "schedule",
  diffusionSteps: "steps",
  flowPath: "path",
  prediction: "prediction",
  lossWeighting: "weighting",
  trainEpsilon: "trainEpsilon",
  sampleEpsilon: "sampleEpsilon",
  tokenCopies: "copies",
} as const satisfies Record<keyof typeof processSettings, string>;

/** The settings of a process that is not its family's default: `` `flowPath` gvp `prediction` noise ``; else empty. */
export function unusualProcess(process: Process): string {
  const usual = processOf(process.kind) as unknown as Readonly<Record<string, unknown>>;
  const own = process as unknown as Readonly<Record<string, unknown>>;
  const flags = Object.entries(processFieldOf).flatMap(([option, field]) =>
    own[field] === undefined || own[field] === usual[field] ? [] : [`${quoted(option)} ${own[field]}`],
  );
  return flags.join(" ");
}

/** Options of what is trained. */
export const diffusionSettings = {
  labelDrop: {
    kind: "number",
    fallback: 0.1,
    min: 0,
    max: 1,
    help: "fraction of labels dropped, for classifier-free guidance",
  },
  ...processSettings,
} as const satisfies Record<string, Setting>;

type TrainValues = Values<typeof optimizerSettings & typeof diffusionSettings & Pick<typeof loopSettings, "seed">>;

/** What the options mean to the training room. */
export function trainSettings(values: TrainValues, model: Model, file?: ModelFile): TrainSettings {
  return {
    ...values,
    process: chosenProcess(values, model, file),
    microBatch: microBatchOf(values),
    learningRate: {
      base: values.learningRate,
      kind: values.lrSchedule,
      final: values.finalLr,
      warmupSteps: values.warmupSteps,
    },
    emaWarmup: values.emaWarmup === "on",
    adamw: { ...adamWDefaults, weightDecay: values.weightDecay },
  };
}

/**
 * The values of a command that trains; labels are dropped only if the model has a class for "no label".
 * @throws InputError where dropping them was asked for and it has none.
 */
export function withFittingLabels<V extends { readonly labelDrop: number }>(
  values: V,
  { config }: Model,
  { given, note }: Pick<TaskContext, "given" | "note">,
): V {
  if (hasNullClass(config) || values.labelDrop === 0) return values;
  if (given.has("labelDrop")) requireNullClass(config, `\`labelDrop\` ${values.labelDrop}`, "use `labelDrop` 0");
  note('no labels are dropped: the model was trained without, and has no class for "no label"');
  return { ...values, labelDrop: 0 };
}

/** Fields of a process that say what a prediction means; the others say how it is trained or sampled. */
const meaningFields = ["schedule", "steps", "path", "prediction"] as const;

/** Whether predictions of models of these processes can be compared. */
export const predictAlike = (a: Process, b: Process): boolean =>
  a.kind === b.kind &&
  meaningFields.every(
    (field) => (a as unknown as Record<string, unknown>)[field] === (b as unknown as Record<string, unknown>)[field],
  );

/** The settings that contradict the process of the file: `` `flowPath` gvp ``; else empty. */
export function overridingSettings(
  values: Partial<Values<typeof processSettings>>,
  { process, processFrom }: Pick<OpenedModel, "process" | "processFrom">,
): string {
  const own = process as unknown as Readonly<Record<string, unknown>>;
  const flags = Object.entries(processFieldOf).flatMap(([option, field]) => {
    const value = values[option as keyof typeof processSettings];
    return value === undefined || value === own[field] ? [] : [`${quoted(option)} ${value}`];
  });
  return processFrom === undefined ? "" : flags.join(" ");
}

/**
 * The process the options name; where they say nothing that of the model file, or the family's default.
 * @throws InputError for an option of another kind of process.
 */
export function chosenProcess(
  values: Partial<Values<typeof processSettings>>,
  { family }: Model,
  file?: Pick<ModelFile, "process">,
): Process {
  const chosen: Record<string, unknown> = {};
  const known = processFields(family.process);
  for (const [option, field] of Object.entries(processFieldOf)) {
    const value = values[option as keyof typeof processSettings];
    if (value === undefined) continue;
    if (!known.includes(field)) throw new InputError(`${quoted(option)} does not apply to a ${family.name} model`);
    chosen[field] = value;
  }
  return processOf(family.process, { ...file?.process, ...chosen });
}

/** Rows of one graph run: never one, because one row takes another kernel and other bits. */
export function microBatchOf({
  microBatch,
  batchSize,
}: {
  microBatch?: number | undefined;
  batchSize: number;
}): number {
  return Math.max(2, Math.min(microBatch ?? batchSize, batchSize));
}
