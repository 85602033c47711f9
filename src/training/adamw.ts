/** AdamW (Loshchilov and Hutter 2019), exponential moving average, gradient norm and accumulation, over flat vectors. */
import { float32, type NDArray } from "../array/ndarray.ts";
import type { Engine, Session } from "../engine/engine.ts";
import { add, div, input, mul, sqrt, sub, sum } from "../graph/build.ts";
import { symbolicDim } from "../graph/dim.ts";

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

/** The vectors of one optimizer, all of one length. */
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

/** Elements per run: vectors this long stay in a core's cache between the operations, and one thread suffices. */
const CHUNK = 1 << 15;

/** Bias corrections and step size of update k ≥ 1. */
export function adamWStep({ beta1, beta2, weightDecay }: AdamWSettings, k: number, learningRate: number) {
  return {
    decay: 1 - learningRate * weightDecay,
    stepSize: learningRate / (1 - beta1 ** k),
    rootCorrection: 1 / Math.sqrt(1 - beta2 ** k),
  };
}

/** The optimizer's own sessions: they write in place, which the training graph's session must not. */
export class AdamW {
  readonly settings: AdamWSettings;
  readonly #update: Session;
  readonly #square: Session;
  readonly #sum: Session;
  readonly #chunks = new WeakMap<Float32Array, NDArray<"float32">[]>();

  private constructor(settings: AdamWSettings, sessions: readonly [Session, Session, Session]) {
    this.settings = settings;
    [this.#update, this.#square, this.#sum] = sessions;
  }

  static async compile(engine: Engine, settings: AdamWSettings = adamWDefaults): Promise<AdamW> {
    const graphs = [updateGraph(settings), squareGraph(), sumGraph()];
    const sessions = await Promise.all(graphs.map((outputs) => engine.compile({ outputs }, { threads: 1 })));
    return new AdamW(settings, sessions as [Session, Session, Session]);
  }

  /** One update in place; `k` counts from 1. */
  async update(vectors: OptimizerVectors, k: number, scalars: UpdateScalars): Promise<void> {
    const { decay, stepSize, rootCorrection } = adamWStep(this.settings, k, scalars.learningRate);
    const { clip, emaDecay } = scalars;
    const numbers = { clip, decay, stepSize, rootCorrection, emaDecay, emaShare: 1 - emaDecay };
    const fed = Object.fromEntries(Object.entries(numbers).map(([name, x]) => [name, float32([x], [])]));
    const chunks = Object.entries(vectors).map(([name, values]) => [name, this.#split(values)] as const);
    for (let i = 0; i < chunks[0]![1].length; i++) {
      const own = Object.fromEntries(chunks.map(([name, list]) => [name, list[i]!]));
      const { weights, firstMoment, secondMoment, ema } = own;
      const into = { newWeights: weights!, newFirstMoment: firstMoment!, newSecondMoment: secondMoment!, newEma: ema! };
      await this.#update.run({ ...fed, ...own }, into);
    }
  }

  /** Σ x². */
  async squaredNorm(vector: Float32Array): Promise<number> {
    let total = 0;
    for (const x of this.#split(vector)) total += (await this.#square.run({ x })).square!.data[0] as number;
    return total;
  }

  /** total += x, in place. */
  async accumulate(total: Float32Array, x: Float32Array): Promise<void> {
    const parts = this.#split(x);
    for (const [i, a] of this.#split(total).entries()) await this.#sum.run({ a, b: parts[i]! }, { total: a });
  }

  async release(): Promise<void> {
    await Promise.all([this.#update, this.#square, this.#sum].map((session) => session.release()));
  }

  #split(vector: Float32Array): NDArray<"float32">[] {
    const known = this.#chunks.get(vector);
    if (known) return known;
    const chunks: NDArray<"float32">[] = [];
    for (let start = 0; start < vector.length; start += CHUNK)
      chunks.push(float32(vector.subarray(start, start + CHUNK)));
    this.#chunks.set(vector, chunks);
    return chunks;
  }
}

const vector = (name: string) => input(name, [symbolicDim("n")]);
const number = (name: string) => input(name, []);

/** In the order of PyTorch's AdamW: decay, moments, then w −= stepSize · m / (√v · rootCorrection + ε). */
function updateGraph({ beta1, beta2, epsilon }: AdamWSettings) {
  const g = mul(vector("gradient"), number("clip"));
  const m = add(mul(vector("firstMoment"), beta1), mul(g, 1 - beta1));
  const v = add(mul(vector("secondMoment"), beta2), mul(mul(g, g), 1 - beta2));
  const direction = div(m, add(mul(sqrt(v), number("rootCorrection")), epsilon));
  const w = sub(mul(vector("weights"), number("decay")), mul(direction, number("stepSize")));
  const ema = add(mul(vector("ema"), number("emaDecay")), mul(w, number("emaShare")));
  return { newWeights: w, newFirstMoment: m, newSecondMoment: v, newEma: ema };
}

function squareGraph() {
  const x = vector("x");
  return { square: sum(mul(x, x)) };
}

const sumGraph = () => ({ total: add(vector("a"), vector("b")) });

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
