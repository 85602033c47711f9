/** From which t to which t a flow is trained and sampled: its formulas divide by zero at some ends. */
import { InputError } from "../../array/input-error.ts";
import type { DiffusionForm } from "./diffusion-form.ts";
import type { FlowProcess } from "./process.ts";

/** 0 is noise, 1 is data. */
export type Interval = readonly [from: number, to: number];

/** The times an example may be trained at. @throws InputError for an epsilon that leaves none, or a singular one. */
export function trainingInterval(process: FlowProcess): Interval {
  const { path, trainEpsilon = path === "vp" ? 1e-5 : 1e-3 } = process;
  return regularInterval(process, "trainEpsilon", trainEpsilon);
}

/** Uniform numbers u in [0, 1) as times of an interval. */
export function timesIn([from, to]: Interval, u: Float32Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(u, (value) => value * (to - from) + from);
}

/** What the probability flow is integrated over. @throws InputError as {@link trainingInterval}. */
export function odeInterval(process: FlowProcess): Interval {
  return regularInterval(process, "sampleEpsilon", process.sampleEpsilon ?? 1e-3);
}

/** Velocities on the linear path and the quarter circle are finite everywhere; `vp` has an infinite slope at t = 1. */
function regularInterval({ path, prediction }: FlowProcess, name: string, epsilon: number): Interval {
  if (path === "vp") return [0, 1 - checked(name, epsilon)];
  if (prediction === "velocity") return [0, 1];
  return [checked(name, epsilon), 1 - checked(name, epsilon)];
}

/** What the interval of an SDE depends on. */
export interface SdeEnds {
  readonly form: DiffusionForm;
  /** Heun's method evaluates the end of a step, Euler's does not. */
  readonly method: "euler" | "heun";
  /** Size of the last step, without noise; 0 if there is none. */
  readonly lastStepSize: number;
}

/**
 * What an SDE is integrated over, before its last step.
 * @throws InputError where the score or the diffusion coefficient would be infinite.
 */
export function sdeInterval(process: FlowProcess, { form, method, lastStepSize }: SdeEnds): Interval {
  const { path, prediction, sampleEpsilon } = process;
  const finite = path !== "vp" && prediction === "velocity";
  const epsilon = () => checked("sampleEpsilon", sampleEpsilon ?? 1e-3);
  // The original sets this epsilon to 0 for velocities: "sbdm" then divides by zero at t = 0, Heun's method at t = 1.
  const from = path === "vp" || (finite && form !== "sbdm") ? 0 : epsilon();
  if (lastStepSize !== 0) return [from, 1 - checked("the last step's size", lastStepSize)];
  return [from, finite && method === "euler" ? 1 - (sampleEpsilon ?? 0) : 1 - epsilon()];
}

function checked(name: string, epsilon: number): number {
  if (epsilon > 0 && epsilon < 0.5) return epsilon;
  throw new InputError(`flow: ${name} must be above 0 and below 0.5 here, got ${epsilon}`);
}
