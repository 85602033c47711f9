/** One optimizer step on any loss: gradients of all micro-batches, clipping by global norm, AdamW, EMA. */
import { type NDArray, sizeOf, zeros } from "../array/ndarray.ts";
import {
  type DeviceArray,
  type Engine,
  type NamedArrays,
  type Program,
  readAll,
  type Weight,
} from "../engine/engine.ts";
import { gradient } from "../graph/gradient.ts";
import { recompute, type Segment } from "../graph/recompute.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { WeightSpec } from "../nn/params.ts";
import { readWeight } from "../weights/read-weights.ts";
import {
  type AdamWSettings,
  compileOptimizer,
  type DeviceArrays,
  gradientName,
  type Optimizer,
  type StateKind,
  type UpdateScalars,
} from "./adamw.ts";

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

/** Weights being trained, their moments and average, which stay on the device, and the programs that update them. */
export class Trainer {
  /** The weights, in order. */
  readonly names: readonly string[];
  /** Numbers in all weights. */
  readonly size: number;
  readonly #engine: Engine;
  readonly #traced: TracedLoss;
  readonly #gradients: Program;
  readonly #optimizer: Optimizer | undefined;
  #state: DeviceArrays = {};
  /** Those computed last. */
  #gradient: DeviceArrays = {};

  private constructor(
    engine: Engine,
    traced: TracedLoss,
    specs: readonly WeightSpec[],
    gradients: Program,
    optimizer: Optimizer | undefined,
  ) {
    this.names = specs.map(({ name }) => name);
    this.size = specs.reduce((total, { shape }) => total + sizeOf(shape), 0);
    this.#engine = engine;
    this.#traced = traced;
    this.#gradients = gradients;
    this.#optimizer = optimizer;
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
    const program = await engine.compile(graph, { constants: fixed });
    const optimizer = specs.length > 0 ? await compileOptimizer(engine, specs, adamw) : undefined;
    const trainer = new Trainer(engine, traced, specs, program, optimizer);
    for (const { name, shape } of specs) {
      const weight = await readWeight(initial.get(name)!);
      await trainer.#put(
        { weights: weight, ema: weight, firstMoment: zeros("float32", shape), secondMoment: zeros("float32", shape) },
        name,
      );
    }
    return trainer;
  }

  async #put(values: Readonly<Partial<Record<StateKind, NDArray>>>, name: string): Promise<void> {
    const state = { ...this.#state };
    for (const [kind, value] of Object.entries(values)) {
      state[`${kind}.${name}`]?.release();
      state[`${kind}.${name}`] = await this.#engine.put(value);
    }
    this.#state = state;
  }

  /** The arrays of one kind, on the device: those of a later step are others. */
  state(kind: StateKind): ReadonlyMap<string, DeviceArray> {
    return new Map(this.names.map((name) => [name, this.#state[`${kind}.${name}`]!]));
  }

  /** The values of one kind, on the host. */
  async read(kind: StateKind): Promise<Map<string, NDArray<"float32">>> {
    return new Map(
      await Promise.all(
        Array.from(
          this.state(kind),
          async ([name, array]) => [name, (await array.read()) as NDArray<"float32">] as const,
        ),
      ),
    );
  }

  /** Replaces the values of one kind; each weight's must be there, called `prefix` + its name. */
  async load(kind: StateKind, source: ReadonlyMap<string, NDArray>, prefix = ""): Promise<void> {
    for (const name of this.names) {
      const found = source.get(prefix + name);
      if (!found) throw new Error(`no value for ${prefix}${name}`);
      await this.#put({ [kind]: found }, name);
    }
  }

  /** Gradients of one global batch, summed over its micro-batches. Call `apply` to use them. */
  async gradients(microBatches: readonly NamedArrays[]): Promise<Gradients> {
    const terms: Record<string, number> = {};
    const extras: Record<string, NDArray>[] = [];
    const weights = Object.fromEntries(this.state("weights"));
    releaseAll(this.#gradient);
    this.#gradient = {};
    for (const batch of microBatches) {
      const results = await this.#gradients.run({ ...weights, ...batch });
      const pick = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, results[name]!]));
      for (const [name, value] of Object.entries(await readAll(pick(Object.keys(this.#traced.terms))))) {
        terms[name] = (terms[name] ?? 0) + Number(value.data[0]);
      }
      extras.push(await readAll(pick(Object.keys(this.#traced.extras ?? {}))));
      await this.#accumulate(pick(this.names.map(gradientName)));
    }
    return { terms, extras, squaredNorm: (await this.#optimizer?.squaredNorm(this.#gradient)) ?? 0 };
  }

  async #accumulate(more: DeviceArrays): Promise<void> {
    const isFirst = Object.keys(this.#gradient).length === 0;
    if (isFirst || !this.#optimizer) this.#gradient = more;
    else {
      this.#gradient = await this.#optimizer.accumulate(this.#gradient, more);
      releaseAll(more);
    }
  }

  /** Update k (from 1) with the gradients computed last. */
  async apply(k: number, scalars: UpdateScalars): Promise<void> {
    if (this.#optimizer) this.#state = await this.#optimizer.update(this.#state, this.#gradient, k, scalars);
  }

  /** Frees the programs; the state stays readable. */
  async release(): Promise<void> {
    await Promise.all([this.#gradients.release(), this.#optimizer?.release()]);
  }

  /** The gradient of a weight as computed last. */
  gradientOf(name: string): Promise<NDArray> {
    return this.#gradient[gradientName(name)]!.read();
  }
}

const releaseAll = (arrays: DeviceArrays): void => {
  for (const array of Object.values(arrays)) array.release();
};

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
