/** Named weights: a scope that composes PyTorch `state_dict` names while a model is traced. */
import type { NDArray } from "../array/ndarray.ts";
import { parameter } from "../graph/build.ts";
import { ShapeError, type Tensor } from "../graph/tensor.ts";

/** How a weight starts. `fixed` ones are constants that a checkpoint stores anyway: they are never trained. */
export type Initializer =
  | { readonly kind: "zeros" }
  | { readonly kind: "ones" }
  | { readonly kind: "normal"; readonly std: number }
  /** Uniform in ±√(6 / (fanIn + fanOut)), fans taken from the weight as a matrix (Glorot and Bengio 2010, eq. 16). */
  | { readonly kind: "xavierUniform" }
  /** Uniform in ±bound. */
  | { readonly kind: "uniform"; readonly bound: number }
  | { readonly kind: "fixed"; readonly value: () => NDArray<"float32"> };

export interface WeightSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly init: Initializer;
}

export const startAtZero: Initializer = { kind: "zeros" };

type Declared = Map<string, { readonly spec: WeightSpec; readonly tensor: Tensor }>;

/** A place in the tree of names. Asking for a weight declares it; asking again gives the same tensor. */
export class Params {
  readonly #prefix: string;
  readonly #declared: Declared;

  constructor(prefix = "", declared: Declared = new Map()) {
    this.#prefix = prefix;
    this.#declared = declared;
  }

  /** The scope below: `p.at("blocks", 3).at("attn")`. */
  at(...path: readonly (string | number)[]): Params {
    return new Params(`${this.#prefix}${path.join(".")}.`, this.#declared);
  }

  /** The full name of this scope: `blocks.3.attn`; empty at the root. */
  get scope(): string {
    return this.#prefix.slice(0, -1);
  }

  /**
   * The weight of this name in this scope.
   * @throws ShapeError if the name already stands for a weight of another shape.
   */
  get(name: string, shape: readonly number[], init: Initializer): Tensor {
    const full = this.#prefix + name;
    const known = this.#declared.get(full);
    if (known) {
      if (String(known.spec.shape) === String(shape)) return known.tensor;
      throw new ShapeError(`${full}: declared as [${known.spec.shape}], then as [${shape}]`);
    }
    const tensor = parameter(full, shape);
    this.#declared.set(full, { spec: { name: full, shape, init }, tensor });
    return tensor;
  }

  /** All weights declared so far in the whole tree, in order. */
  specs(): WeightSpec[] {
    return [...this.#declared.values()].map(({ spec }) => spec);
  }

  /** The tensor of a full name. */
  tensor(name: string): Tensor {
    const known = this.#declared.get(name);
    if (!known) throw new ShapeError(`${name} is not a declared weight`);
    return known.tensor;
  }
}

/** Weights that training may change. */
export function trainable(specs: readonly WeightSpec[]): WeightSpec[] {
  return specs.filter(({ init }) => init.kind !== "fixed");
}
