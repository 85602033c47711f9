/** One optimizer step on any loss: gradients of all micro-batches, clipping by global norm, AdamW, EMA. */
import { float32, type NDArray, sizeOf } from "../array/ndarray.ts";
import type { Engine, NamedArrays, Session } from "../engine/engine.ts";
import { gradient } from "../graph/gradient.ts";
import { recompute, type Segment } from "../graph/recompute.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { WeightSpec } from "../nn/params.ts";
import { placeWeights, readWeight, type Weight } from "../weights/placed-weights.ts";
import { AdamW, type AdamWSettings, type UpdateScalars } from "./adamw.ts";

/** A loss as a graph: what is minimised, what is reported, and the weights it was traced with. */
export interface TracedLoss {
  /** One number: Σ weight · loss over the rows of a micro-batch. */
  readonly loss: Tensor;
  /** Reported numbers, summed over micro-batches. */
  readonly terms: Readonly<Record<string, Tensor>>;
  /** Further outputs, returned for each micro-batch. */
  readonly extras?: Readonly<Record<string, Tensor>>;
  readonly tensorOf: (name: string) => Tensor;
  /** Its blocks, which the backward pass can compute again instead of keeping what is inside. */
  readonly blocks?: readonly Segment[];
}

export interface TrainerOptions {
  /** Weights that are only read: those in files are mapped, not loaded. */
  readonly fixed?: ReadonlyMap<string, Weight>;
  readonly adamw?: AdamWSettings;
  /** Whether the backward pass computes blocks again: less memory, more time. */
  readonly recompute?: boolean;
}

export interface Gradients {
  readonly terms: Record<string, number>;
  readonly extras: Record<string, NDArray>[];
  /** Σ g² of the weights' gradient. */
  readonly squaredNorm: number;
}

/** Weights being trained, their moments and average, and the sessions that update them. */
export class Trainer {
  readonly weights: FlatWeights;
  readonly ema: FlatWeights;
  readonly firstMoment: FlatWeights;
  readonly secondMoment: FlatWeights;
  readonly #gradient: FlatWeights;
  /** Sum over micro-batches; there is none until a step has more than one. */
  #total: Float32Array | undefined;
  /** The gradient's arrays by the name of their output, for sessions to write into. */
  readonly #into: Record<string, NDArray>;
  readonly #fed: NamedArrays;
  readonly #session: Session;
  readonly #adamw: AdamW;
  readonly #traced: TracedLoss;

  private constructor(
    specs: readonly WeightSpec[],
    traced: TracedLoss,
    fed: NamedArrays,
    sessions: readonly [Session, AdamW],
  ) {
    this.weights = new FlatWeights(specs);
    this.ema = new FlatWeights(specs);
    this.firstMoment = new FlatWeights(specs);
    this.secondMoment = new FlatWeights(specs);
    this.#gradient = new FlatWeights(specs);
    this.#into = Object.fromEntries(Array.from(this.#gradient.arrays, ([name, x]) => [gradientName(name), x]));
    this.#fed = fed;
    this.#traced = traced;
    [this.#session, this.#adamw] = sessions;
  }

  /** Builds and compiles the step. `specs` are trained, starting from `initial`. */
  static async compile(
    engine: Engine,
    traced: TracedLoss,
    specs: readonly WeightSpec[],
    initial: ReadonlyMap<string, Weight>,
    { fixed = new Map(), adamw, recompute: isLean = false }: TrainerOptions = {},
  ): Promise<Trainer> {
    const names = specs.map(({ name }) => name);
    const gradients = gradientOutputs(traced.loss, { tensor: traced.tensorOf }, names);
    const whole = { outputs: { ...traced.terms, ...traced.extras, ...gradients } };
    const graph = isLean ? recompute(whole, traced.loss, traced.blocks ?? []) : whole;
    const { fed, options } = placeWeights(fixed);
    const sessions = [await engine.compile(graph, options), await AdamW.compile(engine, adamw)] as const;
    const trainer = new Trainer(specs, traced, fed, sessions);
    for (const name of names) trainer.weights.set(name, await readWeight(initial.get(name)!));
    trainer.ema.values.set(trainer.weights.values);
    return trainer;
  }

  /** Gradients of one global batch, summed over its micro-batches. Call `apply` to use them. */
  async gradients(microBatches: readonly NamedArrays[]): Promise<Gradients> {
    const terms: Record<string, number> = {};
    const extras: Record<string, NDArray>[] = [];
    const weights = { ...this.#fed, ...Object.fromEntries(this.weights.arrays) };
    for (const [i, batch] of microBatches.entries()) {
      const results = await this.#session.run({ ...weights, ...batch }, this.#into);
      for (const name of Object.keys(this.#traced.terms)) {
        terms[name] = (terms[name] ?? 0) + Number(results[name]!.data[0]);
      }
      extras.push(Object.fromEntries(Object.keys(this.#traced.extras ?? {}).map((name) => [name, results[name]!])));
      if (microBatches.length === 1) continue;
      this.#total ??= new Float32Array(this.weights.size);
      if (i === 0) this.#total.set(this.#gradient.values);
      else await this.#adamw.accumulate(this.#total, this.#gradient.values);
    }
    if (this.#total && microBatches.length > 1) this.#gradient.values.set(this.#total);
    const squaredNorm = this.weights.size > 0 ? await this.#adamw.squaredNorm(this.#gradient.values) : 0;
    return { terms, extras, squaredNorm };
  }

  /** Update k (from 1) with the gradients computed last. */
  async apply(k: number, scalars: UpdateScalars): Promise<void> {
    const vectors = {
      weights: this.weights.values,
      gradient: this.#gradient.values,
      firstMoment: this.firstMoment.values,
      secondMoment: this.secondMoment.values,
      ema: this.ema.values,
    };
    await this.#adamw.update(vectors, k, scalars);
  }

  /** Frees the sessions; the weights stay readable. */
  async release(): Promise<void> {
    await Promise.all([this.#session.release(), this.#adamw.release()]);
  }

  /** The gradient of a weight as computed last. */
  gradientOf(name: string): NDArray {
    return this.#gradient.arrays.get(name)!;
  }
}

/** The name of the output that holds a weight's gradient. */
export const gradientName = (name: string): string => `gradient of ${name}`;

/** The outputs of a graph that are ∂loss/∂w of the named weights. */
export function gradientOutputs(
  loss: Tensor,
  p: { tensor(name: string): Tensor },
  names: readonly string[],
): Record<string, Tensor> {
  const gradients = gradient(
    loss,
    names.map((name) => p.tensor(name)),
  );
  return Object.fromEntries(names.map((name, i) => [gradientName(name), gradients[i]!]));
}

/** Named views into one float32 vector, in the order of the specs. */
export class FlatWeights {
  readonly values: Float32Array;
  readonly arrays: ReadonlyMap<string, NDArray<"float32">>;

  constructor(specs: readonly Pick<WeightSpec, "name" | "shape">[]) {
    this.values = new Float32Array(specs.reduce((total, { shape }) => total + sizeOf(shape), 0));
    const arrays = new Map<string, NDArray<"float32">>();
    let offset = 0;
    for (const { name, shape } of specs) {
      const end = offset + sizeOf(shape);
      arrays.set(name, float32(this.values.subarray(offset, end), shape));
      offset = end;
    }
    this.arrays = arrays;
  }

  /** Copies values by name; every name of this vector must be there, with the prefix. */
  load(source: ReadonlyMap<string, NDArray>, prefix = ""): void {
    for (const name of this.arrays.keys()) {
      const found = source.get(prefix + name);
      if (!found) throw new Error(`no value for ${prefix}${name}`);
      this.set(name, found);
    }
  }

  /** Copies the values of one weight. */
  set(name: string, { data }: NDArray): void {
    this.arrays.get(name)!.data.set(data as Float32Array);
  }

  get size(): number {
    return this.values.length;
  }
}
