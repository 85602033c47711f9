/** Collects ONNX nodes, constants and shapes while a graph is lowered. */
import { type NDArray, NDArray as Values } from "../../array/ndarray.ts";
import type { Dim, Shape } from "../../graph/dim.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { ConstantWeight, OnnxAttribute, OnnxNode } from "./model.ts";

interface EmitOptions {
  readonly outputs?: number;
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
  readonly domain?: "" | "com.microsoft";
}

/** Where the size of a symbol can be read at run time: an input and one of its axes. */
export interface SymbolSource {
  readonly name: string;
  readonly axis: number;
}

export class Emitter {
  readonly nodes: OnnxNode[] = [];
  readonly initializers: ConstantWeight[] = [];
  readonly #constants = new Map<string, string>();
  readonly #symbols: ReadonlyMap<string, SymbolSource>;
  readonly #sizes = new Map<string, string>();
  #count = 0;

  constructor(symbols: ReadonlyMap<string, SymbolSource>) {
    this.#symbols = symbols;
  }

  /** Adds a node and returns the names of its outputs. */
  emit(opType: string, inputs: readonly string[], options: EmitOptions = {}): string[] {
    const outputs = Array.from({ length: options.outputs ?? 1 }, () => this.#fresh());
    const { attributes = {}, domain = "" } = options;
    this.nodes.push({ opType, inputs, outputs, attributes, domain });
    return outputs;
  }

  /** Adds a node with one output and returns its name. */
  node(opType: string, inputs: readonly string[], attributes: Readonly<Record<string, OnnxAttribute>> = {}): string {
    return this.emit(opType, inputs, { attributes })[0]!;
  }

  /** Adds a node of ONNX Runtime's own operators. */
  contrib(opType: string, inputs: readonly string[], attributes: Readonly<Record<string, OnnxAttribute>> = {}): string {
    return this.emit(opType, inputs, { attributes, domain: "com.microsoft" })[0]!;
  }

  /** A value stored in the model; small ones are stored once. */
  constant(value: NDArray): string {
    const key = value.size <= 4096 ? `${value.dtype}[${value.shape}]${value.data.join(",")}` : undefined;
    const known = key && this.#constants.get(key);
    if (known) return known;
    const name = this.#fresh();
    this.initializers.push({ name, value });
    if (key) this.#constants.set(key, name);
    return name;
  }

  int64(values: readonly number[]): string {
    return this.constant(new Values("int64", [values.length], BigInt64Array.from(values.map(BigInt))));
  }

  /** The shape as an int64 vector; symbols are read from the inputs that carry them. */
  shape(shape: Shape): string {
    if (shape.every((dim) => typeof dim === "number")) return this.int64(shape as readonly number[]);
    return this.node(
      "Concat",
      shape.map((dim) => this.#size(dim)),
      { axis: 0 },
    );
  }

  reshape(x: string, shape: Shape): string {
    const open = shape.filter((dim) => typeof dim !== "number");
    const fixed = shape.map((dim) => (typeof dim === "number" ? dim : -1));
    // −1 stands for one unknown size; next to a size 0 it would be ambiguous.
    const target = open.length <= 1 && !fixed.includes(0) ? this.int64(fixed) : this.shape(shape);
    return this.node("Reshape", [x, target], { allowzero: 1 });
  }

  /** The value as a matrix: all leading axes become rows. */
  matrix(x: string, { shape }: Tensor): string {
    if (shape.length === 2) return x;
    return this.node("Reshape", [x, this.int64([-1, shape.at(-1) as number])]);
  }

  #size(dim: Dim): string {
    if (typeof dim === "number") return this.int64([dim]);
    const known = this.#sizes.get(dim.name);
    if (known) return known;
    const source = this.#symbols.get(dim.name);
    if (!source) throw new Error(`no graph input carries the size ${dim.name}`);
    const size = this.node("Shape", [source.name], { start: source.axis, end: source.axis + 1 });
    this.#sizes.set(dim.name, size);
    return size;
  }

  /** A name that no input, weight or output bears. */
  #fresh(): string {
    return `%${this.#count++}`;
  }
}
