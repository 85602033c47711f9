/** ONNX Runtime for Node behind the engine interface. */
import * as ort from "onnxruntime-node";
import { InputError } from "../array/input-error.ts";
import { type DType, NDArray } from "../array/ndarray.ts";
import { printShape, type Shape, sameDim } from "../graph/dim.ts";
import { cpuLowering } from "./cpu-lowering.ts";
import { type Lowering, lower } from "./lowering.ts";
import { encodeModel, type OnnxValue } from "./model.ts";
import type { CompileOptions, Engine, NamedArrays, Session } from "./session.ts";

export interface NodeEngineOptions {
  /** Threads of one operator; results are bit-equal only between runs with the same number. */
  readonly threads?: number;
}

/** An engine on the CPU. */
export function cpuEngine({ threads = 2 }: NodeEngineOptions = {}): Engine {
  return nodeEngine("cpu", cpuLowering, {
    executionProviders: ["cpu"],
    graphOptimizationLevel: "disabled",
    executionMode: "sequential",
    intraOpNumThreads: threads,
    enableMemPattern: false,
    extra: { session: { set_denormal_as_zero: "1" } },
  });
}

function nodeEngine(provider: string, lowering: Lowering, options: ort.InferenceSession.SessionOptions): Engine {
  const counters = { sessions: 0, runs: 0 };
  return {
    provider,
    counters,
    async compile(graph, { frozen, threads }: CompileOptions = {}) {
      const { model, inputs } = lower(graph, lowering, frozen);
      const settings = threads === undefined ? options : { ...options, intraOpNumThreads: threads };
      const session = await ort.InferenceSession.create(encodeModel(model), settings);
      counters.sessions++;
      return new NodeSession(session, inputs, counters);
    },
  };
}

class NodeSession implements Session {
  readonly #session: ort.InferenceSession;
  readonly #inputs: readonly OnnxValue[];
  readonly #counters: { runs: number };
  readonly #wrapped = new WeakMap<NDArray, ort.Tensor>();

  constructor(session: ort.InferenceSession, inputs: readonly OnnxValue[], counters: { runs: number }) {
    this.#session = session;
    this.#inputs = inputs;
    this.#counters = counters;
  }

  async run(feeds: NamedArrays, into: NamedArrays = {}): Promise<Record<string, NDArray>> {
    const tensors: Record<string, ort.Tensor> = {};
    for (const expected of this.#inputs) tensors[expected.name] = this.#wrap(checked(expected, feeds[expected.name]));
    const fetches: Record<string, ort.Tensor | null> = {};
    for (const name of this.#session.outputNames) {
      const target = into[name];
      fetches[name] = target ? this.#wrap(target) : null;
    }
    this.#counters.runs++;
    const results = await this.#session.run(tensors, fetches);
    return Object.fromEntries(Object.entries(results).map(([name, x]) => [name, into[name] ?? fromOrt(x)]));
  }

  async release(): Promise<void> {
    await this.#session.release();
  }

  /** Wrappers share the array's memory, so each array needs only one. */
  #wrap(array: NDArray): ort.Tensor {
    const known = this.#wrapped.get(array);
    if (known) return known;
    const tensor = new ort.Tensor(array.dtype as "float32", array.data as Float32Array, array.shape);
    this.#wrapped.set(array, tensor);
    return tensor;
  }
}

function checked({ name, dtype, shape }: OnnxValue, found: NDArray | undefined): NDArray {
  if (!found) throw new InputError(`run: input ${name} ${dtype}${printShape(shape)} was not fed`);
  if (found.dtype !== dtype || !fits(found.shape, shape)) {
    throw new InputError(`run: input ${name} expects ${dtype}${printShape(shape)}, got ${found.dtype}[${found.shape}]`);
  }
  return found;
}

const fits = (found: readonly number[], expected: Shape): boolean =>
  found.length === expected.length && expected.every((dim, i) => typeof dim !== "number" || sameDim(dim, found[i]!));

function fromOrt(x: ort.Tensor): NDArray {
  return new NDArray(x.type as DType, x.dims, x.data as Float32Array) as NDArray;
}
