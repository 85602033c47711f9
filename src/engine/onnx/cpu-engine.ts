/** ONNX Runtime on the CPU: a device array wraps memory of the host. */
import type * as ort from "onnxruntime-node";
import { float32, type NDArray, sizeOf } from "../../array/ndarray.ts";
import { type Graph, nodesOf } from "../../graph/graph.ts";
import type { Op } from "../../graph/op.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { CompileOptions, DeviceArray, Engine, Inputs, Program, Weights } from "../engine.ts";
import { CpuArray, hostValue } from "./cpu-array.ts";
import { cpuLowering } from "./cpu-lowering.ts";
import { compileElementwise, isElementwise } from "./elementwise-program.ts";
import type { Lowering } from "./lowering.ts";
import { mapWeights } from "./mapped-weights.ts";
import {
  checkedInput,
  fromOrt,
  type OpenedSession,
  openSession,
  refuseDonatedTwice,
  requireTypes,
  type SessionOptions,
  sessionOptions,
  toOrt,
} from "./session.ts";

export interface CpuEngineOptions {
  /** Threads of one operator; results are bit-equal only between runs with the same number. */
  readonly threads?: number;
  /** Another provider's table: the CPU provider knows the operators of all tables, only slower. */
  readonly lowering?: Lowering;
}

/** An engine on the CPU. */
export function cpuEngine({ threads = 2, lowering = cpuLowering }: CpuEngineOptions = {}): Engine {
  return {
    name: "cpu",
    put: async (value) => new CpuArray(value),
    async compile(graph, { constants = new Map(), donate = [] }: CompileOptions = {}) {
      requireTypes("cpu", graph, ["float16", "bfloat16"]);
      if (constants.size === 0 && isElementwise(graph, donate)) return compileElementwise(graph);
      const useful = opsOf(graph).some((op) => heavy.has(op)) ? threads : 1;
      return compileGraph(graph, lowering, constants, donate, sessionOptions(["cpu"], useful));
    },
    release: async () => {},
  };
}

/**
 * Constants in memory are fed, since copies in the session would double them; only networks of convolutions get them as
 * parts of the model: there the runtime's own optimizer, which lays images out in blocks of channels, is 1.5 times as fast.
 */
async function compileGraph(
  graph: Graph,
  lowering: Lowering,
  constants: Weights,
  donate: readonly string[],
  options: SessionOptions,
): Promise<Program> {
  const { fed, inside, folder } = mapWeights(constants);
  if (fed.size > 0 && inside.size === 0 && isConvolutional(graph)) {
    const values = new Map(Array.from(fed, ([name, value]) => [name, { name, value }]));
    const opened = await openSession(graph, lowering, { ...options, graphOptimizationLevel: "all" }, values);
    return new CpuProgram(graph, opened, new Map(), donate);
  }
  return new CpuProgram(graph, await openSession(graph, lowering, options, inside, folder), fed, donate);
}

const opsOf = ({ outputs }: Graph): Op[] => nodesOf(Object.values(outputs)).map(({ op }) => op);

const products: ReadonlySet<Op> = new Set<Op>(["linear", "linearWeightGradient", "matmul", "attention"]);
/** What a second thread helps; after anything else its spinning costs the next session more than it gave. */
const heavy: ReadonlySet<Op> = new Set<Op>([...products, "conv2d", "conv2dInputGradient", "conv2dWeightGradient"]);

/** Whether convolutions do most of the work: in a transformer only one of many products cuts the image into patches. */
function isConvolutional(graph: Graph): boolean {
  const ops = opsOf(graph);
  return ops.filter((op) => op === "conv2d").length > ops.filter((op) => products.has(op)).length;
}

/** Made outside of a run: a function made inside keeps the run's results alive, which are buffers of the runtime's own. */
const giveBackTo =
  (free: NDArray[] | undefined) =>
  (value: NDArray): void =>
    void free?.push(value);

/** A program with so many outputs is a gradient: its outputs are read together. */
const MANY_OUTPUTS = 16;

/** A session whose outputs get the memory of released and donated arrays of earlier runs, never that of its own inputs. */
class CpuProgram implements Program {
  readonly #opened: OpenedSession;
  readonly #constants: ReadonlyMap<string, NDArray>;
  readonly #donate: readonly string[];
  /** Free memory by output; only outputs of fixed sizes have any. */
  readonly #free: ReadonlyMap<string, NDArray[]>;
  readonly #fixed: readonly (readonly [string, Tensor])[];
  readonly #wrapped = new WeakMap<NDArray, ort.Tensor>();

  constructor(graph: Graph, opened: OpenedSession, constants: ReadonlyMap<string, NDArray>, donate: readonly string[]) {
    this.#opened = opened;
    this.#constants = constants;
    this.#donate = donate;
    this.#fixed = Object.entries(graph.outputs).filter(([, x]) => x.shape.every((dim) => typeof dim === "number"));
    this.#free = new Map(this.#fixed.map(([name]) => [name, []]));
  }

  async run(inputs: Inputs): Promise<Record<string, DeviceArray>> {
    const { session, inputs: expected, outputs } = this.#opened;
    refuseDonatedTwice(this.#donate, inputs);
    const sizes = new Map<string, number>();
    const feeds: Record<string, ort.Tensor> = {};
    for (const one of expected) {
      const given = inputs[one.name] ?? this.#constants.get(one.name);
      feeds[one.name] = this.#wrap(hostValue(checkedInput(one, given, sizes)));
    }
    if (this.#free.size >= MANY_OUTPUTS && [...this.#free.values()].every((list) => list.length === 0))
      this.#allocate();
    const targets = outputs.map(([name]) => this.#free.get(name)?.pop());
    const fetches = Object.fromEntries(
      outputs.map(([, inSession], i) => [inSession, targets[i] ? this.#wrap(targets[i]) : null]),
    );
    const results = await session.run(feeds, fetches);
    for (const name of this.#donate) {
      const array = inputs[name];
      const own = array instanceof CpuArray ? array.take() : undefined;
      if (own) this.#free.get(name)?.push(own.value);
    }
    return Object.fromEntries(
      outputs.map(([name, inSession], i) => [
        name,
        new CpuArray(targets[i] ?? fromOrt(results[inSession]!), giveBackTo(this.#free.get(name))),
      ]),
    );
  }

  /** Memory for all outputs of fixed sizes, one behind the other, so that programs that read all of them read long vectors. */
  #allocate(): void {
    const wanted = this.#fixed.filter(([, { dtype }]) => dtype === "float32");
    const memory = new Float32Array(wanted.reduce((sum, [, { shape }]) => sum + sizeOf(shape as number[]), 0));
    let at = 0;
    for (const [name, { shape }] of wanted) {
      const size = sizeOf(shape as number[]);
      this.#free.get(name)!.push(float32(memory.subarray(at, at + size), shape as number[]));
      at += size;
    }
  }

  async release(): Promise<void> {
    for (const list of this.#free.values()) list.length = 0;
    await this.#opened.session.release();
  }

  /** Wrappers share the array's memory, so each array needs only one. */
  #wrap(array: NDArray): ort.Tensor {
    const known = this.#wrapped.get(array) ?? toOrt(array);
    this.#wrapped.set(array, known);
    return known;
  }
}
