/** AdamW (Loshchilov and Hutter 2019), exponential moving average, gradient norm and accumulation, as programs. */
import { float32 } from "../array/ndarray.ts";
import { type DeviceArray, type Engine, runAndRead } from "../engine/engine.ts";
import { add, concat, div, input, mul, reshape, sqrt, sub, sum } from "../graph/build.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { WeightSpec } from "../nn/params.ts";

export interface AdamWSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
}

export const adamWDefaults: AdamWSettings = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };

/** The numbers of update k (from 1): what the vector operations need besides the vectors. */
export interface UpdateScalars {
  /** Factor on the gradient, from clipping. */
  readonly clip: number;
  readonly learningRate: number;
  readonly emaDecay: number;
}

/** The vectors of an optimizer on the host, all of one length. */
export interface OptimizerVectors {
  readonly weights: Float32Array;
  readonly gradient: Float32Array;
  readonly firstMoment: Float32Array;
  readonly secondMoment: Float32Array;
  readonly ema: Float32Array;
}

/**
 * The factor that brings a gradient of this norm to at most `maxNorm` (PyTorch's clip_grad_norm_); 0 and Infinity clip
 * nothing.
 * @throws RangeError for a `maxNorm` that is negative or no number.
 */
export function clipFactor(norm: number, maxNorm: number): number {
  if (!(maxNorm >= 0)) throw new RangeError(`the largest gradient norm is 0 (no clipping) or more, got ${maxNorm}`);
  if (maxNorm === 0 || maxNorm === Number.POSITIVE_INFINITY) return 1;
  return Math.min(1, maxNorm / (norm + 1e-6));
}

/** Bias corrections and step size of update k ≥ 1. */
export function adamWStep({ beta1, beta2, weightDecay }: AdamWSettings, k: number, learningRate: number) {
  return {
    decay: 1 - learningRate * weightDecay,
    stepSize: learningRate / (1 - beta1 ** k),
    rootCorrection: 1 / Math.sqrt(1 - beta2 ** k),
  };
}

/** What is kept of each weight: names in a state are `weights.NAME`, `ema.NAME` and so on. */
export const stateKinds = ["weights", "firstMoment", "secondMoment", "ema"] as const;
export type StateKind = (typeof stateKinds)[number];

/** Arrays on the device, by name. */
export type DeviceArrays = Readonly<Record<string, DeviceArray>>;

/** The name that a weight's gradient has as an output and as an input. */
export const gradientName = (name: string): string => `gradient of ${name}`;

/** Programs over the gradients and the state of named weights. */
export interface Optimizer {
  /** Σ g² over all weights. */
  squaredNorm(gradients: DeviceArrays): Promise<number>;
  /** total + x; `total` is consumed. */
  accumulate(total: DeviceArrays, x: DeviceArrays): Promise<DeviceArrays>;
  /** The state after update k (from 1); the one before is consumed. */
  update(state: DeviceArrays, gradients: DeviceArrays, k: number, scalars: UpdateScalars): Promise<DeviceArrays>;
  release(): Promise<void>;
}

export type NamedShape = Pick<WeightSpec, "name" | "shape">;

/** Compiles the programs: none of them is part of the training graph, which must not write over weights that it reads. */
export async function compileOptimizer(
  engine: Engine,
  weights: readonly NamedShape[],
  settings: AdamWSettings = adamWDefaults,
): Promise<Optimizer> {
  const gradients = weights.map(({ name, shape }) => input(gradientName(name), shape));
  const named = (tensors: readonly Tensor[]) =>
    Object.fromEntries(weights.map(({ name }, i) => [gradientName(name), tensors[i]!]));
  const squares = gradients.map((g) => reshape(sum(mul(g, g)), [1]));
  const sums = named(
    weights.map(({ name, shape }, i) => add(input(gradientName(name), shape), input(`more.${i}`, shape))),
  );
  const next = updated(weights, settings);
  const donated = (outputs: Readonly<Record<string, Tensor>>) =>
    engine.compile({ outputs }, { donate: Object.keys(outputs) });
  const [norm, addition, update] = await Promise.all([
    engine.compile({ outputs: { squares: concat(squares, 0) } }),
    donated(sums),
    donated(next),
  ]);
  return {
    async squaredNorm(arrays) {
      const { squares: found } = await runAndRead(norm, arrays);
      return (found!.data as Float32Array).reduce((total, square) => total + square, 0);
    },
    accumulate(total, x) {
      const more = Object.fromEntries(weights.map(({ name }, i) => [`more.${i}`, x[gradientName(name)]!]));
      return addition.run({ ...total, ...more });
    },
    update(state, arrays, k, { clip, learningRate, emaDecay }) {
      const numbers = { clip, ...adamWStep(settings, k, learningRate), emaDecay, emaShare: 1 - emaDecay };
      const fed = Object.fromEntries(Object.entries(numbers).map(([name, x]) => [name, float32([x], [])]));
      return update.run({ ...fed, ...state, ...arrays });
    },
    async release() {
      await Promise.all([norm, addition, update].map((program) => program.release()));
    },
  };
}

/** In the order of PyTorch's AdamW: decay, moments, then w −= stepSize · m / (√v · rootCorrection + ε). */
function updated(weights: readonly NamedShape[], { beta1, beta2, epsilon }: AdamWSettings): Record<string, Tensor> {
  const number = (name: string) => input(name, []);
  const [clip, decay, stepSize, rootCorrection] = ["clip", "decay", "stepSize", "rootCorrection"].map(number);
  const [emaDecay, emaShare] = ["emaDecay", "emaShare"].map(number);
  const next: Record<string, Tensor> = {};
  for (const { name, shape } of weights) {
    const old = (kind: StateKind) => input(`${kind}.${name}`, shape);
    const g = mul(input(gradientName(name), shape), clip!);
    const m = add(mul(old("firstMoment"), beta1), mul(g, 1 - beta1));
    const v = add(mul(old("secondMoment"), beta2), mul(mul(g, g), 1 - beta2));
    const direction = div(m, add(mul(sqrt(v), rootCorrection!), epsilon));
    const w = sub(mul(old("weights"), decay!), mul(direction, stepSize!));
    const ema = add(mul(old("ema"), emaDecay!), mul(w, emaShare!));
    Object.assign(next, {
      [`weights.${name}`]: w,
      [`firstMoment.${name}`]: m,
      [`secondMoment.${name}`]: v,
      [`ema.${name}`]: ema,
    });
  }
  return next;
}

const round = Math.fround;

/**
 * One update in place on the host, for the few numbers (gates) that live there: the same arithmetic, rounded to float32.
 * `k` counts from 1.
 */
export function hostAdamW(vectors: OptimizerVectors, settings: AdamWSettings, k: number, scalars: UpdateScalars): void {
  const { weights, gradient, firstMoment, secondMoment, ema } = vectors;
  const { beta1, beta2, epsilon } = settings;
  const { decay, stepSize, rootCorrection } = adamWStep(settings, k, scalars.learningRate);
  for (let i = 0; i < weights.length; i++) {
    const g = round(gradient[i]! * scalars.clip);
    const m = round(round(firstMoment[i]! * beta1) + round(g * (1 - beta1)));
    const v = round(round(secondMoment[i]! * beta2) + round(round(g * g) * (1 - beta2)));
    const denominator = round(round(round(Math.sqrt(v)) * rootCorrection) + epsilon);
    const w = round(round(weights[i]! * decay) - round(round(m / denominator) * stepSize));
    firstMoment[i] = m;
    secondMoment[i] = v;
    weights[i] = w;
    ema[i] = round(round(ema[i]! * scalars.emaDecay) + round(w * (1 - scalars.emaDecay)));
  }
}
