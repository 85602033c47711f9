/** How noise and data are joined, as model files describe it. */
import { z } from "zod";
import { InputError } from "../array/input-error.ts";
import { namedSchedule, type Schedule, scheduleNames } from "./schedule.ts";

/** The paths there are; `linear` and `gvp` begin in pure noise, `vp` is the path of variance-preserving diffusion. */
export const pathNames = ["linear", "gvp", "vp"] as const;
export type PathName = (typeof pathNames)[number];

/** What a model may predict of x_t. */
export const predictionNames = ["velocity", "noise", "score"] as const;
export type PredictionName = (typeof predictionNames)[number];

/** How the losses of noise and score models may be weighed. */
export const weightingNames = ["none", "velocity", "likelihood"] as const;
export type WeightingName = (typeof weightingNames)[number];

/** Each step is a row of tables: a hostile number would fill the memory. */
const MAX_STEPS = 100_000;

const epsilon = z.number().positive().max(0.5);

const schemas = {
  gaussian: z.strictObject({
    kind: z.literal("gaussian").default("gaussian"),
    schedule: z.enum(scheduleNames).default("linear"),
    steps: z.int().min(1).max(MAX_STEPS).default(1000),
  }),
  flow: z.strictObject({
    kind: z.literal("flow").default("flow"),
    path: z.enum(pathNames).default("linear"),
    prediction: z.enum(predictionNames).default("velocity"),
    weighting: z.enum(weightingNames).default("none"),
    trainEpsilon: epsilon.optional(),
    sampleEpsilon: epsilon.optional(),
  }),
  tokens: z.strictObject({
    kind: z.literal("tokens").default("tokens"),
    schedule: z.enum(scheduleNames).default("squaredcos_cap_v2"),
    steps: z.int().min(1).max(MAX_STEPS).default(1000),
    copies: z.int().min(1).max(64).default(4),
    maskRatioMin: z.number().min(0).max(1).optional(),
  }),
} as const;

export type ProcessKind = keyof typeof schemas;

/** Gaussian diffusion by a named noise schedule (Ho et al. 2020). */
export type GaussianProcess = Readonly<z.infer<typeof schemas.gaussian>>;

/** A path from noise to data and what is learned of it (Ma et al. 2024, SiT), as a model file names it. */
export type NamedFlow = Readonly<z.infer<typeof schemas.flow>>;

/**
 * What the formulas of a flow need of it. A velocity model's loss has no weight. `trainEpsilon` and `sampleEpsilon` say how
 * far training and sampling stay away from times where the formulas divide by zero: 1e-3 (1e-5 for training on `vp`).
 */
export type FlowProcess = Pick<NamedFlow, "path" | "prediction"> & Partial<NamedFlow>;

/**
 * Gaussian diffusion of one token at a time under a condition (Li et al. 2024); `copies` is how often a training step
 * noises each masked token (the original's `diffusion_batch_mul`), `maskRatioMin` the smallest fraction of tokens that
 * training masks (`mask_ratio_min`; 0.7 where it is absent).
 */
export type TokenProcess = Readonly<z.infer<typeof schemas.tokens>>;

export type Process = GaussianProcess | NamedFlow | TokenProcess;

/**
 * A checked description of a process; what it leaves out has a default.
 * @throws InputError naming each wrong field.
 */
export function processOf(kind: ProcessKind, json: unknown = {}, where = "process"): Process {
  const parsed = schemas[kind].safeParse(json);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join(".") || "it"}: ${issue.message}`);
  throw new InputError(`${where} (${kind}): ${problems.join("; ")}`);
}

/** The default: Gaussian diffusion by the linear schedule with 1,000 steps. */
export const defaultProcess: GaussianProcess = { kind: "gaussian", schedule: "linear", steps: 1000 };

/** Fields of a process that can be chosen. */
export const processFields = (kind: ProcessKind): string[] =>
  Object.keys(schemas[kind].shape).filter((field) => field !== "kind");

const texts: { readonly [K in ProcessKind]: (process: Extract<Process, { kind: K }>) => string } = {
  gaussian: ({ schedule, steps }) => `Gaussian diffusion, ${schedule}, ${steps} steps`,
  flow: ({ path, prediction, weighting, sampleEpsilon }) =>
    [
      `flow on the ${path} path`,
      `${prediction} prediction`,
      ...(weighting === "none" ? [] : [`${weighting} weighting`]),
      ...(sampleEpsilon === undefined ? [] : [`sampled ${sampleEpsilon} from its ends`]),
    ].join(", "),
  tokens: ({ schedule, steps, maskRatioMin }) =>
    `diffusion of masked tokens, ${schedule}, ${steps} steps` +
    (maskRatioMin === undefined ? "" : `, trained with at least ${maskRatioMin} of them masked`),
};

/** A process in a line. */
export const processText = (process: Process): string => (texts[process.kind] as (process: Process) => string)(process);

/** The tables of Gaussian diffusion. */
export const scheduleOf = ({ schedule, steps }: Pick<GaussianProcess, "schedule" | "steps">): Schedule =>
  namedSchedule(schedule, steps);
