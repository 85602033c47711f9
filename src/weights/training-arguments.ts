/**
 * What the arguments beside the weights of a training checkpoint say of the model and its process: the options of
 * `train.py` of DiT (and of the trainers that came from guided diffusion), of `train.py` of SiT, and of `main_mar.py` of MAR.
 */
import { InputError, isObject, quote } from "../array/input-error.ts";
import { maskRatioDefaults } from "../diffusion/masking/masks.ts";
import { type Process, type ProcessKind, processOf } from "../diffusion/process.ts";
import type { MarConfig } from "../models/mar/config.ts";
import { presets } from "../models/presets.ts";
import { type Model, modelOf } from "../models/registry.ts";
import type { FoundWeights } from "./fitting-models.ts";
import { modelFromShapes } from "./model-from-shapes.ts";

/** Options by their names in Python. */
export type Arguments = Readonly<Record<string, unknown>>;

/** Where training scripts keep them. */
const entries = ["args", "hyper_parameters", "config", "cfg", "hparams", "hyperparameters", "arguments"] as const;

/** The arguments beside the weights of a checkpoint; undefined if there are none that we know. */
export function argumentsIn(facts: Readonly<Record<string, unknown>>): Arguments | undefined {
  const found = entries.map((name) => facts[name]).filter((value) => isArguments(value));
  return [...found.map(withInner), onProcess([facts])].find(
    (args) => typeof args.model === "string" || processNames.some((name) => Object.hasOwn(args, name)),
  );
}

/** Arguments with what groups among them, such as `transport`, say of the process. */
const withInner = (args: Arguments): Arguments => ({
  ...onProcess(Object.values(args).filter((value) => isArguments(value))),
  ...args,
});

/** Only arguments about the process: other names mean other things elsewhere. */
function onProcess(groups: readonly Arguments[]): Arguments {
  const names = [...processNames, "loss_weight", "train_eps", "sample_eps"];
  return Object.fromEntries(
    groups.flatMap((group) => names.flatMap((name) => (Object.hasOwn(group, name) ? [[name, group[name]]] : []))),
  );
}

const isArguments = (value: unknown): value is Arguments => isObject(value);

/** The names of arguments about a process; the first of each list that is there counts. */
const namesOf = {
  path: ["path_type"],
  prediction: ["prediction"],
  schedule: ["noise_schedule", "beta_schedule", "schedule_name"],
  steps: ["diffusion_steps", "num_diffusion_steps", "num_train_timesteps"],
  copies: ["diffusion_batch_mul"],
  masking: ["mask_ratio_min"],
} as const;

/** Arguments that mean another process where they are not as here; nothing and null are as here. */
const fixed: Readonly<Record<string, readonly unknown[]>> = {
  predict_xstart: [false],
  predict_v: [false],
  v_prediction: [false],
  rescale_timesteps: [false],
  zero_snr: [false],
  zero_terminal_snr: [false],
  rescale_betas_zero_snr: [false],
  prediction_type: ["epsilon", "eps"],
  prediction: ["epsilon", "eps", "noise"],
  parameterization: ["epsilon", "eps"],
};

const processNames: readonly string[] = [...Object.values(namesOf).flat(), ...Object.keys(fixed)];

/** The presets by MAR's own names. */
const marNames: Readonly<Record<string, string>> = { mar_base: "MAR-B", mar_large: "MAR-L", mar_huge: "MAR-H" };

/**
 * The model that arguments name, with the sizes of the weights; undefined if they name none that could have them.
 * @throws InputError for arguments that say another size than the weights have.
 */
export function modelFromArguments(args: Arguments, found: FoundWeights, where: string): Model | undefined {
  const name = typeof args.model === "string" ? (marNames[args.model] ?? args.model) : "";
  const config = presets.get(name);
  if (!config) return undefined;
  const like = { ...config, ...givenSizes(args, config.family) };
  const model = modelFromShapes(found, modelOf(like, `${where}: its arguments`));
  if (!model || isOfOtherSize(model, modelOf(config))) return undefined;
  for (const [field, argument] of Object.entries(sizeArguments[config.family])) {
    const [said, has] = [
      numberOf(args[argument]),
      (model.config as unknown as Readonly<Record<string, unknown>>)[field],
    ];
    if (said === undefined || said === has) continue;
    throw new InputError(
      `${where}: its arguments say ${argument} ${said}, its weights have ${has}; which is right? Save the weights alone and name the model with \`modelConfig\``,
    );
  }
  return model;
}

/** Fields of a configuration that shapes show, too, by the arguments that say them. */
const sizeArguments = {
  dit: { numClasses: "num_classes" },
  sit: { numClasses: "num_classes" },
  mar: {
    numClasses: "class_num",
    patchSize: "patch_size",
    inChannels: "vae_embed_dim",
    bufferSize: "buffer_size",
    denoiserDepth: "diffloss_d",
    denoiserSize: "diffloss_w",
  },
} as const satisfies Record<string, Readonly<Record<string, string>>>;

/** What arguments say of fields that shapes alone do not decide. */
function givenSizes(args: Arguments, family: keyof typeof sizeArguments): Readonly<Record<string, unknown>> {
  const sizes = Object.entries(sizeArguments[family]).map(([field, argument]) => [field, numberOf(args[argument])]);
  const known = Object.fromEntries(sizes.filter(([, value]) => value !== undefined));
  if (family !== "mar") return known;
  const { patchSize = 1 } = known as Partial<MarConfig>;
  const image = numberOf(args.img_size);
  const stride = numberOf(args.vae_stride);
  const [attention, projection] = [numberOf(args.attn_dropout), numberOf(args.proj_dropout)];
  return {
    ...known,
    ...(image !== undefined && stride !== undefined && image % (stride * patchSize) === 0
      ? { inputSize: image / stride }
      : {}),
    ...(attention !== undefined && { attentionDropout: attention }),
    ...(projection !== undefined && { projectionDropout: projection }),
    // What stands for "no label" was never trained then.
    ...(numberOf(args.label_drop_prob) === 0 && { nullClass: false }),
  };
}

/** Whether the model is none that a pruning of the other could be. */
function isOfOtherSize({ family, config }: Model, other: Model): boolean {
  const width = (of: object) => {
    const { hiddenSize, encoderSize, decoderSize } = of as Readonly<Record<string, unknown>>;
    return String([hiddenSize, encoderSize, decoderSize]);
  };
  const whole = other.family.stacks(other.config);
  return width(config) !== width(other.config) || family.stacks(config).some((depth, i) => depth > whole[i]!);
}

/**
 * The process that arguments describe, for a model of this kind; undefined if they say nothing of one.
 * @throws InputError for a process that we do not have, or of another kind of model.
 */
export function processFromArguments(args: Arguments, kind: ProcessKind, where: string): Process | undefined {
  refuseForeign(args, kind, where);
  const fields = readers[kind](args, (argument, known) => namedValue(args, argument, known, where));
  const stated = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
  return Object.keys(stated).length > 0 ? processOf(kind, stated, `${where}: its arguments`) : undefined;
}

type Value = (argument: string | undefined, known: Readonly<Record<string, unknown>>) => unknown;

const schedules = { linear: "linear", cosine: "squaredcos_cap_v2", squaredcos_cap_v2: "squaredcos_cap_v2" } as const;

const firstOf = (args: Arguments, names: readonly string[]): string | undefined =>
  names.find((name) => args[name] !== undefined && args[name] !== null);

const readers: { readonly [K in ProcessKind]: (args: Arguments, value: Value) => Readonly<Record<string, unknown>> } = {
  gaussian: (args, value) => ({
    schedule: value(firstOf(args, namesOf.schedule), schedules),
    steps: numberOf(args[firstOf(args, namesOf.steps) ?? ""]),
  }),
  flow(args, value) {
    const path = value(firstOf(args, namesOf.path), { Linear: "linear", GVP: "gvp", VP: "vp" });
    const prediction = value(firstOf(args, namesOf.prediction), {
      velocity: "velocity",
      noise: "noise",
      score: "score",
    });
    // The original's create_transport keeps no distance from the ends where a velocity is finite at both.
    const isStable = path !== "vp" && (prediction ?? "velocity") === "velocity";
    return {
      path,
      prediction,
      weighting: value(firstOf(args, ["loss_weight"]), {
        None: "none",
        none: "none",
        velocity: "velocity",
        likelihood: "likelihood",
      }),
      trainEpsilon: isStable ? undefined : numberOf(args.train_eps),
      sampleEpsilon: isStable ? undefined : numberOf(args.sample_eps),
    };
  },
  tokens: (args, value) => ({
    schedule: value(firstOf(args, namesOf.schedule), schedules),
    steps: numberOf(args[firstOf(args, namesOf.steps) ?? ""]),
    copies: numberOf(args.diffusion_batch_mul),
    maskRatioMin: unless(maskRatioDefaults.min, numberOf(args.mask_ratio_min)),
  }),
};

function refuseForeign(args: Arguments, kind: ProcessKind, where: string): void {
  if (kind !== "flow") {
    const flows = firstOf(args, namesOf.path);
    if (flows !== undefined) {
      throw new InputError(
        `${where}: its arguments are those of a SiT (${flows} ${quote(args[flows])}), which the named model is not; name a SiT`,
      );
    }
  }
  const own = kind === "flow" ? {} : fixed;
  for (const [argument, expected] of Object.entries(own)) {
    const value = args[argument] ?? expected[0];
    if (!expected.includes(value)) throw unknown(where, argument, args[argument], expected.map(String));
  }
}

function namedValue(
  args: Arguments,
  argument: string | undefined,
  known: Readonly<Record<string, unknown>>,
  where: string,
): unknown {
  if (argument === undefined) return undefined;
  const value = args[argument];
  if (typeof value === "string" && Object.hasOwn(known, value)) return known[value];
  throw unknown(where, argument, value, Object.keys(known));
}

const unknown = (where: string, argument: string, value: unknown, known: readonly string[]): InputError =>
  new InputError(
    `${where}: its arguments say ${argument} ${quote(value)}, a process that is not known here (${known.join(", ")} is); ` +
      "its images would be wrong",
  );

/** A value, unless it is the one that counts anyway. */
const unless = (usual: number, value: number | undefined): number | undefined => (value === usual ? undefined : value);

/** What arguments say of sampling, which is not written into a model: how the same is asked for here. */
export function samplingNote(args: Arguments, kind: ProcessKind, where: string): string[] {
  const steps = args.num_sampling_steps;
  if (kind !== "tokens" || !(typeof steps === "string" || typeof steps === "number")) return [];
  return [`${where}: its arguments say num_sampling_steps ${steps}, which is asked for with \`headSteps\` ${steps}`];
}

/** A number, also as text; undefined for anything else. */
function numberOf(value: unknown): number | undefined {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}
