/** Paths from noise to data, x_t = α x_1 + σ ε: t = 0 is noise, t = 1 is data (Ma et al. 2024, SiT). N batch. */
import { InputError } from "../../array/input-error.ts";
import { add, cos, div, exp, mul, neg, reshape, sin, sqrt, sub, tanh } from "../../graph/build.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { FlowProcess, PathName } from "../process.ts";

/** Where a path is at t: the factors of data and noise, and their derivatives by t. */
export interface Interpolant<T> {
  readonly alpha: T;
  readonly dAlpha: T;
  readonly sigma: T;
  readonly dSigma: T;
}

type Formula = <T>(t: T, m: Arithmetic<T>) => Interpolant<T>;

const linear: Formula = (t, m) => {
  const flat = m.mul(t, 0);
  return { alpha: t, dAlpha: m.add(flat, 1), sigma: m.sub(1, t), dSigma: m.sub(flat, 1) };
};

/** The generalised variance-preserving path: a quarter of a circle. */
const gvp: Formula = (t, m) => {
  const angle = m.mul(t, Math.PI / 2);
  const [alpha, sigma] = [m.sin(angle), m.cos(angle)];
  return { alpha, dAlpha: m.mul(sigma, Math.PI / 2), sigma, dSigma: m.mul(alpha, -Math.PI / 2) };
};

const betaMin = 0.1;
const betaMax = 20;

/** The variance-preserving SDE (Song et al. 2021, Score-based generative modeling, appendix C) with its time turned round. */
const vp: Formula = (t, m) => {
  const s = m.sub(1, t);
  const logAlpha = m.mul(s, m.sub(m.mul(s, (betaMin - betaMax) / 4), betaMin / 2));
  const slope = m.add(m.mul(s, (betaMax - betaMin) / 2), betaMin / 2); // of log α
  const alpha = m.exp(logAlpha);
  const square = m.mul(alpha, alpha);
  // 1 − α² without cancellation where α is almost 1
  const sigma = m.sqrt(m.mul(m.tanh(m.neg(logAlpha)), m.add(square, 1)));
  return { alpha, dAlpha: m.mul(alpha, slope), sigma, dSigma: m.neg(m.div(m.mul(square, slope), sigma)) };
};

const formulas: { readonly [K in PathName]: Formula } = { linear, gvp, vp };

/** A path at time t. */
export const interpolantAt = (path: PathName, t: number): Interpolant<number> => formulas[path](t, numbers);

/** A path at the times t, of any shape. */
export const interpolant = (path: PathName, t: Tensor): Interpolant<Tensor> => formulas[path](t, tensors);

/** A path at the times t [N], as factors [N, 1, 1, 1] of images. */
export const imageInterpolant = (path: PathName, t: Tensor): Interpolant<Tensor> =>
  interpolant(path, reshape(t, [...t.shape, 1, 1, 1]));

/** α′σ − ασ′, which is positive: x and its velocity determine data and noise by Cramer's rule. */
export function determinant<T>({ alpha, dAlpha, sigma, dSigma }: Interpolant<T>, m: Arithmetic<T>): T {
  return m.sub(m.mul(dAlpha, sigma), m.mul(alpha, dSigma));
}

/** The operations that a formula in t may use; at least one operand of each is a `T`. */
export interface Arithmetic<T> {
  add(a: T | number, b: T | number): T;
  sub(a: T | number, b: T | number): T;
  mul(a: T | number, b: T | number): T;
  div(a: T | number, b: T | number): T;
  neg(a: T): T;
  exp(a: T): T;
  sqrt(a: T): T;
  sin(a: T): T;
  cos(a: T): T;
  tanh(a: T): T;
}

export const numbers: Arithmetic<number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  neg: (a) => -a,
  exp: Math.exp,
  sqrt: Math.sqrt,
  sin: Math.sin,
  cos: Math.cos,
  tanh: Math.tanh,
};

export const tensors: Arithmetic<Tensor> = { add, sub, mul, div, neg, exp, sqrt, sin, cos, tanh };

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

/** Velocities on the linear path and the quarter circle are finite everywhere; `vp` has an infinite derivative at t = 1. */
function regularInterval({ path, prediction }: FlowProcess, name: string, epsilon: number): Interval {
  if (path === "vp") return [0, 1 - checkedEpsilon(name, epsilon)];
  if (prediction === "velocity") return [0, 1];
  return [checkedEpsilon(name, epsilon), 1 - checkedEpsilon(name, epsilon)];
}

/** @throws InputError for an epsilon that is not between 0 and ½. */
export function checkedEpsilon(name: string, epsilon: number): number {
  if (epsilon > 0 && epsilon < 0.5) return epsilon;
  throw new InputError(`flow: ${name} must be above 0 and below 0.5 here, got ${epsilon}`);
}
