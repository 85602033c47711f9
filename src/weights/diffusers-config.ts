/** The configuration file of diffusers' DiT, as ours and from ours. */
import { InputError, isObject, quote } from "../array/input-error.ts";
import { type GaussianProcess, type Process, processOf, scheduleOf } from "../diffusion/process.ts";
import type { DiTConfig } from "../models/dit/config.ts";
import { hasNullClass } from "../models/family.ts";
import { type Model, modelOf } from "../models/registry.ts";
import type { PlacedJson } from "./weights-folder.ts";

export type Fields = Readonly<Record<string, unknown>>;

/** Fields that would change a number, with the values that a DiT computes; the first is written, null and absent are it too. */
const fixedFields = {
  activation_fn: ["gelu-approximate"],
  attention_bias: [true],
  norm_type: ["ada_norm_zero"],
  norm_elementwise_affine: [false],
  cross_attention_dim: [null],
  double_self_attention: [false],
  only_cross_attention: [false],
  num_vector_embeds: [null],
} as const satisfies Record<string, readonly unknown[]>;

/** Where the file is silent: diffusers' defaults. */
const defaults = { num_attention_heads: 16, attention_head_dim: 72, in_channels: 4, num_layers: 28 } as const;
const moreDefaults = { sample_size: 32, patch_size: 2, num_embeds_ada_norm: 1000 } as const;

/**
 * The DiT of a `transformer/config.json`.
 * @throws InputError naming the field that is another model's, or sizes that are none.
 */
export function modelFromDiffusers({ json, where }: PlacedJson): Model {
  const found = fieldsOf(json, where);
  const className = found._class_name;
  if (className !== "DiTTransformer2DModel" && className !== "Transformer2DModel") {
    throw new InputError(`${where}: expected _class_name DiTTransformer2DModel, found ${quote(className)}`);
  }
  for (const [field, expected] of Object.entries(fixedFields)) {
    const value = found[field] ?? expected[0];
    if (!(expected as readonly unknown[]).includes(value)) {
      throw new InputError(
        `${where}: ${field} is ${quote(value)}; a DiT needs ${quote(expected[0])}, so this is another model`,
      );
    }
  }
  const sizes = { ...defaults, ...moreDefaults, ...withoutNulls(found) } as Record<string, number>;
  const out = sizes.out_channels ?? sizes.in_channels!;
  if (out !== sizes.in_channels && out !== 2 * sizes.in_channels!) {
    throw new InputError(
      `${where}: out_channels is ${out}; a DiT needs once or twice in_channels, ${sizes.in_channels}`,
    );
  }
  const config = {
    family: "dit",
    inputSize: sizes.sample_size,
    patchSize: sizes.patch_size,
    inChannels: sizes.in_channels,
    hiddenSize: sizes.num_attention_heads! * sizes.attention_head_dim!,
    depth: sizes.num_layers,
    numHeads: sizes.num_attention_heads,
    numClasses: sizes.num_embeds_ada_norm,
    learnSigma: out !== sizes.in_channels,
  };
  return modelOf(config, where);
}

/** `transformer/config.json` of a DiT. @throws InputError for sizes that diffusers' class does not have. */
export function modelToDiffusers({ family, config }: Model, where: string): Fields {
  const cannot = (why: string) => new InputError(`${where}: ${why}; convert to pt or safetensors instead`);
  if (family.name !== "dit") throw cannot(`diffusers has no ${family.name}, only a DiT`);
  const { hiddenSize, numHeads, depth, mlpRatio, inputSize, patchSize, ...rest } = config as DiTConfig;
  if (rest.keptHeads !== undefined || rest.mlpSize !== undefined) {
    throw cannot("diffusers' DiT has heads and an MLP as wide as its hidden size says, this model was pruned in width");
  }
  if (!hasNullClass(rest)) throw cannot('diffusers\' DiT has a class for "no label", this model has none');
  if (mlpRatio !== 4) throw cannot(`diffusers' DiT has an mlpRatio of 4, this model one of ${mlpRatio}`);
  if (depth === 0) throw cannot("diffusers' DiT needs at least one block");
  return {
    _class_name: "DiTTransformer2DModel",
    _diffusers_version: "0.27.0", // the first with this class
    activation_fn: "gelu-approximate",
    attention_bias: true,
    attention_head_dim: hiddenSize / numHeads,
    dropout: 0,
    in_channels: rest.inChannels,
    norm_elementwise_affine: false,
    norm_eps: 1e-6, // diffusers' own default, 1e-5, is not the original's
    norm_num_groups: 32,
    norm_type: "ada_norm_zero",
    num_attention_heads: numHeads,
    num_embeds_ada_norm: rest.numClasses,
    num_layers: depth,
    out_channels: (rest.learnSigma ? 2 : 1) * rest.inChannels,
    patch_size: patchSize,
    sample_size: inputSize,
    upcast_attention: false,
  };
}

/** A JSON object. @throws InputError for any other JSON. */
export function fieldsOf(json: unknown, where: string): Fields {
  if (isObject(json)) return json;
  throw new InputError(`${where}: expected a JSON object, found ${JSON.stringify(json)?.slice(0, 40)}`);
}

const withoutNulls = (fields: Fields): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));

/** Schedulers of Gaussian diffusion with discrete steps: they share the fields of the noise, and sample in other ways. */
const classes: ReadonlySet<string> = new Set(
  [
    ...["DDIM", "DDIMParallel", "DDPM", "DDPMParallel", "PNDM", "DPMSolverMultistep", "DPMSolverSinglestep"],
    ...["DPMSolverSDE", "DEISMultistep", "UniPCMultistep", "SASolver", "LMSDiscrete", "HeunDiscrete"],
    ...["EulerDiscrete", "EulerAncestralDiscrete", "KDPM2Discrete", "KDPM2AncestralDiscrete"],
  ].map((name) => `${name}Scheduler`),
);

/** Fields of the process besides the schedule, with the values that it has here; null and absent are the first. */
const processFields: Readonly<Record<string, readonly unknown[]>> = {
  prediction_type: ["epsilon"],
  trained_betas: [null],
  rescale_betas_zero_snr: [false],
  timestep_type: ["discrete"],
  use_flow_sigmas: [false],
};

/** Fields of how diffusers samples, with the values that sampling has here; others are noted, since options decide here. */
const samplingFields: Readonly<Record<string, readonly unknown[]>> = {
  clip_sample: [false],
  thresholding: [false],
  timestep_spacing: ["leading"],
  steps_offset: [0],
  set_alpha_to_one: [true],
  use_karras_sigmas: [false],
  use_exponential_sigmas: [false],
  use_beta_sigmas: [false],
  use_lu_lambdas: [false],
  euler_at_final: [false],
  final_sigmas_type: ["zero"],
};

/** Fields that need no word: they only shape what the ones above turn on, or the steps of a sampler that is not used. */
const passedOver: ReadonlySet<string> = new Set([
  ...["num_train_timesteps", "beta_schedule", "beta_start", "beta_end", "clip_sample_range", "sample_max_value"],
  ...["dynamic_thresholding_ratio", "variance_type", "skip_prk_steps", "algorithm_type", "solver_order", "solver_type"],
  ...["lower_order_final", "lambda_min_clipped", "interpolation_type", "sigma_min", "sigma_max", "predict_x0"],
  ...["predictor_order", "corrector_order", "solver_p", "disable_corrector", "noise_sampler_seed", "tau_func"],
]);

/** What diffusers takes where the scheduler file is silent. */
const scheduleDefaults = {
  num_train_timesteps: 1000,
  beta_schedule: "linear",
  beta_start: 0.0001,
  beta_end: 0.02,
} as const;

/**
 * The process of a `scheduler_config.json`.
 * @throws InputError for a scheduler or a field of it that means another process, naming it.
 */
export function processFromDiffusers({ json, where }: PlacedJson): Process {
  const found = fieldsOf(json, where);
  const wrong = (field: string, expected: string) =>
    new InputError(
      `${where}: ${field} is ${quote(found[field])}, expected ${expected}; write the process of these weights there`,
    );
  const { _class_name: name = "DDIMScheduler" } = found;
  if (typeof name !== "string" || !classes.has(name)) {
    throw wrong("_class_name", "a scheduler of Gaussian diffusion, as DDIMScheduler");
  }
  for (const [field, expected] of Object.entries(processFields)) {
    if (!expected.includes(found[field] ?? expected[0])) throw wrong(field, String(expected[0]));
  }
  const unknown = Object.entries(found).find(([field, value]) => !isKnown(field) && value !== null && value !== false);
  if (unknown) throw wrong(unknown[0], "a field that is known here, so that it does not change the process unseen");
  return gaussianOf(found, where, wrong);
}

const isKnown = (field: string): boolean =>
  field.startsWith("_") || passedOver.has(field) || field in processFields || field in samplingFields;

function gaussianOf(
  found: Fields,
  where: string,
  wrong: (field: string, expected: string) => InputError,
): GaussianProcess {
  const fieldValue = (field: keyof typeof scheduleDefaults) => found[field] ?? scheduleDefaults[field];
  const schedule = fieldValue("beta_schedule");
  const process = processOf(
    "gaussian",
    { schedule, steps: fieldValue("num_train_timesteps") },
    where,
  ) as GaussianProcess;
  if (schedule !== "linear") return process;
  const { betas } = scheduleOf(process);
  for (const [field, expected] of [
    ["beta_start", betas[0]!],
    ["beta_end", betas.at(-1)!],
  ] as const) {
    const value = fieldValue(field);
    if (typeof value !== "number" || Math.abs(value - expected) > 1e-6) throw wrong(field, String(expected));
  }
  return process;
}

/** How diffusers would sample otherwise than is usual here, for people; empty if it would not. */
export function samplingNotes({ json, where }: PlacedJson): string[] {
  const found = fieldsOf(json, where);
  const others = Object.entries(samplingFields).filter(([field, usual]) => !usual.includes(found[field] ?? usual[0]));
  if (others.length === 0) return [];
  const list = others.map(([field]) => `${field} ${quote(found[field])}`).join(", ");
  return [`${where} says how diffusers samples (${list}), which is for the options to say here`];
}

/** `scheduler_config.json` of a DDIM sampler. @throws InputError for a process that is no Gaussian diffusion. */
export function processToDiffusers(process: Process, where: string): Fields {
  if (process.kind !== "gaussian")
    throw new InputError(`${where}: diffusers samples Gaussian diffusion, this is ${process.kind}`);
  const { betas } = scheduleOf(process);
  return {
    _class_name: "DDIMScheduler",
    _diffusers_version: "0.27.0",
    beta_end: betas.at(-1)!,
    beta_schedule: process.schedule,
    beta_start: betas[0]!,
    clip_sample: false,
    num_train_timesteps: process.steps,
    prediction_type: "epsilon",
    rescale_betas_zero_snr: false,
    set_alpha_to_one: true,
    steps_offset: 0,
    timestep_spacing: "leading",
    trained_betas: null,
  };
}
