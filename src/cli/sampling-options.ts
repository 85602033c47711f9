/** Options of how images are drawn; each belongs to some kinds of process. */
import { InputError } from "../array/input-error.ts";
import { diffusionForms } from "../diffusion/flow/diffusion-form.ts";
import { lastSteps } from "../diffusion/flow/sde.ts";
import type { Process, ProcessKind } from "../diffusion/process.ts";
import { guidanceFor, type ModelConfig } from "../models/family.ts";
import { firstStepWarning } from "../sampling/first-step.ts";
import { flowSamplers } from "../sampling/flow-sampler.ts";
import { gaussianSamplers } from "../sampling/gaussian-sampler.ts";
import type { SamplingSettings } from "../sampling/image-sampler.ts";
import { cacheOf } from "../sampling/sampling-loop.ts";
import type { SettingTable, Values } from "../tasks/settings.ts";
import { flagOf } from "./flags.ts";
import { bytesText } from "./table.ts";

export const samplingOptions = {
  steps: {
    kind: "text",
    help:
      'DiT: timesteps visited, as ddim25, 250, or "10,15,20" by section [ddim25]; on the cosine schedule ddimN, as N alone ' +
      "begins at its last timestep, from which images without --clip are noise; SiT: points in time [25]; MAR: iterations [16]",
  },
  sampler: {
    kind: "choice",
    choices: [...gaussianSamplers, ...flowSamplers],
    help:
      "how a step is taken [ddim for a DiT, heun for a SiT]; dpm++2m is DPM-Solver++(2M), of second order with one " +
      "evaluation a step; heun and stochastic-heun take two",
  },
  cfg: { kind: "number", min: 0, help: "classifier-free guidance; 1 is none and costs half [2]" },
  cfgChannels: { kind: "integer", min: 1, help: "DiT, SiT: channels that are guided [all; the original guides 3]" },
  cfgSchedule: { kind: "choice", choices: ["linear", "constant"], help: "MAR: guidance over the iterations [linear]" },
  eta: { kind: "number", min: 0, max: 1, help: "DiT: noise of DDIM steps; 0 is deterministic [0]" },
  clip: { kind: "flag", help: "DiT: clip the predicted image to [-1, 1] at each step (for pixels, not for latents)" },
  rtol: { kind: "number", min: 0, help: "SiT: relative tolerance of dopri5 [1e-3]" },
  atol: { kind: "number", min: 0, help: "SiT: absolute tolerance of dopri5 [1e-6]" },
  dopriNorm: {
    kind: "choice",
    choices: ["sample", "batch"],
    help: "SiT: whose error decides on a step of dopri5; the original's is batch [sample]",
  },
  diffusionForm: { kind: "choice", choices: diffusionForms, help: "SiT: noise of the SDE over time [sigma]" },
  diffusionNorm: { kind: "number", min: 0, help: "SiT: scale of that noise [1]" },
  lastStep: { kind: "choice", choices: lastSteps, help: "SiT: the SDE's last step, without noise [mean]" },
  lastStepSize: { kind: "number", min: 0, max: 1, help: "SiT: its size [0.04]" },
  cache: {
    kind: "number",
    min: 0,
    help: "DiT, SiT: reuse attention and MLPs of the steps before while their measured relative change is below this, as 0.2 [0: never]",
  },
  cacheImages: {
    kind: "integer",
    min: 1,
    help: "DiT, SiT: images that this change is measured on, once at the start [8]",
  },
  cacheCurves: {
    kind: "text",
    help: "DiT, SiT: take it from this file instead: the samples.json of a run of the same model and settings with --cache",
  },
  headSteps: { kind: "text", help: "MAR: timesteps of each token's denoising, ddimN as --steps of a DiT [ddim25]" },
  temperature: { kind: "number", min: 0, help: "MAR: scales the noise of that denoising [1]" },
} as const satisfies SettingTable;

type SamplingOption = keyof typeof samplingOptions;

const cacheOptions = ["cache", "cacheImages", "cacheCurves"] as const;

/** Which options a kind of process has. */
const optionsOf: { readonly [K in ProcessKind]: readonly SamplingOption[] } = {
  gaussian: ["steps", "sampler", "cfg", "cfgChannels", "eta", "clip", ...cacheOptions],
  flow: [
    ...(["steps", "sampler", "cfg", "cfgChannels", "rtol", "atol", "dopriNorm"] as const),
    ...(["diffusionForm", "diffusionNorm", "lastStep", "lastStepSize"] as const),
    ...cacheOptions,
  ],
  tokens: ["steps", "cfg", "cfgSchedule", "headSteps", "temperature"],
};

/**
 * What the options mean to a sampler; what they leave out has the sampler's default. `note` hears of a first step from
 * which noise is to be expected.
 * @throws InputError for an option of another kind of process, or guidance that the model cannot have.
 */
export function chosenSampling(
  values: Values<typeof samplingOptions>,
  process: Process,
  config: ModelConfig,
  note: (line: string) => void,
): SamplingSettings {
  const settings = samplingOf(values, process, config);
  const warning = firstStepWarning(process, settings);
  if (warning !== undefined) note(warning);
  return settings;
}

/** The same without a note. @throws as {@link chosenSampling}. */
export function samplingOf(
  values: Values<typeof samplingOptions>,
  { kind }: Process,
  config: ModelConfig,
): SamplingSettings {
  const given = Object.entries(values).filter(
    ([name, value]) => Object.hasOwn(samplingOptions, name) && value !== undefined && value !== false,
  );
  const own = optionsOf[kind];
  const foreign = given.find(([name]) => !own.includes(name as SamplingOption));
  if (foreign) {
    const known = own.map(flagOf).join(", ");
    throw new InputError(`${flagOf(foreign[0])} says nothing to this model's sampler; it has ${known}`);
  }
  const named: SamplingSettings = Object.fromEntries(
    given.map(([name, value]) => [name === "cfg" ? "cfgScale" : name, value]),
  );
  return guidanceFor(config, named);
}

/** A line about the cache of a run, for the `derived` of its sampler; none without a cache. */
export function cacheLines(derived: Readonly<Record<string, unknown>>): string[] {
  const facts = cacheOf({ derived });
  if (!facts) return [];
  const { tolerance, computedAt, curves, graphs, savedShare, residentBytes } = facts;
  const { evaluations } = curves.measured;
  const count = Object.keys(graphs).length;
  return [
    `cache ${tolerance}: attention computed in ${computedAt.attention.length} of ${evaluations} evaluations, MLPs in ` +
      `${computedAt.mlp.length} (${(100 * savedShare).toFixed(0)}% of all branches saved); ` +
      `${count} ${count === 1 ? "graph" : "graphs"}, ${bytesText(residentBytes)} resident`,
  ];
}
