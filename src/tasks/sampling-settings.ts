/** Settings of how a model samples: which classes, by which sampler. Each setting belongs to some kinds of process. */
import { InputError } from "../array/input-error.ts";
import { imagenetClass, imagenetClasses } from "../data/class-names.ts";
import { diffusionForms, lastSteps } from "../diffusion/flow/sde.ts";
import type { Process, ProcessKind } from "../diffusion/process.ts";
import { guidanceFor, type ModelConfig } from "../models/family.ts";
import { firstStepWarning } from "../sampling/compile-sampler.ts";
import {
  flowSamplers,
  gaussianSamplers,
  recordedPrecision,
  type SamplingSettings,
  samplingPrecisions,
} from "../sampling/sampling-settings.ts";
import { quoted, refuseIgnored, type Setting, type SettingTable, type Values } from "./settings.ts";

export const samplingSettings = {
  steps: { kind: "text", help: "sampling steps, as 250 or ddim25 [DiT: ddim25; SiT: 25; MAR: 16]" },
  sampler: {
    kind: "choice",
    choices: [...gaussianSamplers, ...flowSamplers],
    help: "sampler [DiT: ddim; SiT: heun]",
  },
  precision: { kind: "choice", choices: samplingPrecisions, help: "linear layers of blocks [float32]" },
  cfg: { kind: "number", min: 0, help: "scale of classifier-free guidance; 1: none, half the cost [2]" },
  cfgChannels: { kind: "integer", min: 1, help: "DiT, SiT: guided channels [all]" },
  cfgSchedule: { kind: "choice", choices: ["linear", "constant"], help: "MAR: guidance over the iterations [linear]" },
  eta: { kind: "number", min: 0, max: 1, help: "DiT: noise of DDIM steps; 0: deterministic [0]" },
  clip: { kind: "flag", help: "DiT: clip predicted images to [-1, 1] (models of pixels)" },
  rtol: { kind: "number", min: 0, help: "SiT: relative tolerance of dopri5 [1e-3]" },
  atol: { kind: "number", min: 0, help: "SiT: absolute tolerance of dopri5 [1e-6]" },
  dopriNorm: { kind: "choice", choices: ["sample", "batch"], help: "SiT: error norm of dopri5 [sample]" },
  diffusionForm: { kind: "choice", choices: diffusionForms, help: "SiT: diffusion coefficient of the SDE [sigma]" },
  diffusionNorm: { kind: "number", min: 0, help: "SiT: scale of that coefficient [1]" },
  lastStep: { kind: "choice", choices: lastSteps, help: "SiT: last step of the SDE [mean]" },
  lastStepSize: { kind: "number", min: 0, max: 1, help: "SiT: size of that step [0.04]" },
  cache: { kind: "number", min: 0, help: "DiT, SiT: tolerance of step caching, as 0.2; 0: none [0]" },
  cacheImages: { kind: "integer", min: 1, help: "DiT, SiT: images for measuring that error [8]" },
  cacheCurves: { kind: "text", help: "DiT, SiT: samples.json with that error already measured" },
  cacheHistory: {
    kind: "integer",
    min: 1,
    max: 3,
    help: "DiT, SiT: computed outputs that others are predicted from [1]",
  },
  headSteps: { kind: "text", help: "MAR: steps of each token's denoising [ddim25]" },
  temperature: { kind: "number", min: 0, help: "MAR: noise scale of that denoising [1]" },
} as const satisfies SettingTable;

/** Of a second model, where two are measured. */
export const secondPrecisionSetting = {
  kind: "choice",
  choices: samplingPrecisions,
  help: "precision of the second model [as `precision`]",
} as const satisfies Setting;

export const classSettings = {
  classes: { kind: "text", help: "classes in turn, by number or name, as 0,1,2 [all]" },
  class: { kind: "text", help: 'one class, as 207 or "golden retriever"' },
} as const satisfies SettingTable;

type SamplingSetting = keyof typeof samplingSettings;

const cacheSettings = ["cache", "cacheImages", "cacheCurves", "cacheHistory"] as const;
const commonSettings = ["steps", "precision", "cfg"] as const;

/** Which settings a kind of process has. */
const settingsOf: { readonly [K in ProcessKind]: readonly SamplingSetting[] } = {
  gaussian: [...commonSettings, "sampler", "cfgChannels", "eta", "clip", ...cacheSettings],
  flow: [
    ...commonSettings,
    ...(["sampler", "cfgChannels", "rtol", "atol", "dopriNorm"] as const),
    ...(["diffusionForm", "diffusionNorm", "lastStep", "lastStepSize"] as const),
    ...cacheSettings,
  ],
  tokens: [...commonSettings, "cfgSchedule", "headSteps", "temperature"],
};

/**
 * The sampler's settings; those left out have the sampler's defaults. `note` receives a warning about a first step that
 * is likely to give noise.
 * @throws InputError for a setting of another kind of process, or guidance that the model does not support.
 */
export function chosenSampling(
  values: Values<typeof samplingSettings>,
  process: Process,
  config: ModelConfig,
  note: (line: string) => void = () => undefined,
): SamplingSettings {
  const given = Object.entries(values).filter(
    ([name, value]) => Object.hasOwn(samplingSettings, name) && value !== undefined && value !== false,
  );
  const own = settingsOf[process.kind];
  const foreign = given.find(([name]) => !own.includes(name as SamplingSetting));
  if (foreign) {
    const known = own.map(quoted).join(", ");
    throw new InputError(`${quoted(foreign[0])} does not apply to this model's sampler; it has ${known}`);
  }
  const { precision: _, ...chosen }: SamplingSettings = Object.fromEntries(
    given.map(([name, value]) => [name === "cfg" ? "cfgScale" : name, value]),
  );
  const settings = guidanceFor(config, { ...chosen, ...recordedPrecision(values.precision) });
  const warning = firstStepWarning(process, settings);
  if (warning !== undefined) note(warning);
  return settings;
}

const MOST_NAMES = 20;

/** `0 circle, 1 cross`: the first classes with their names. */
export function classesText(names: readonly string[]): string {
  const shown = names.slice(0, MOST_NAMES).map((name, label) => `${label} ${name}`);
  return `${shown.join(", ")}${names.length > MOST_NAMES ? ", …" : ""}`;
}

/** The labels of the classes to sample. @throws InputError listing the known classes. */
export function chosenClasses(
  values: Values<typeof classSettings>,
  numClasses: number,
  given: ReadonlySet<string>,
  classNames: readonly string[] = [],
): number[] {
  if (values.class !== undefined) {
    refuseIgnored(given, quoted("class"), ["classes"], "both set the classes");
    return [labelOf("class", values.class, numClasses, classNames)];
  }
  const named = values.classes?.split(",").map((text) => labelOf("classes", text, numClasses, classNames));
  return named ?? Array.from({ length: numClasses }, (_, label) => label);
}

/** A label for each image: the classes in turn. */
export const labelsInTurn = (classes: readonly number[], count: number): Int32Array =>
  Int32Array.from({ length: count }, (_, i) => classes[i % classes.length]!);

/** The label of a number or name; digits are always a number, even if another class has that name. */
function labelOf(setting: string, text: string, numClasses: number, classNames: readonly string[]): number {
  const named = classNames.indexOf(text.trim());
  if (named >= 0 && !/^\d+$/.test(text.trim())) return named;
  const label = /^\s*\d+\s*$/.test(text) ? Number(text) : Number.NaN;
  if (label < numClasses) return label;
  if (numClasses === imagenetClasses.length) return imagenetClass(text);
  if (classNames.length > 0) {
    throw new InputError(
      `${quoted(setting)}: unknown class "${text.trim()}"; the model knows ${classesText(classNames)}`,
    );
  }
  const known =
    numClasses <= 20 ? Array.from({ length: numClasses }, (_, k) => k).join(", ") : `0 to ${numClasses - 1}`;
  throw new InputError(`${quoted(setting)}: unknown label "${text.trim()}"; the model knows ${known}`);
}
