/** ONNX Runtime for Node behind the engine interface. */
import * as ort from "onnxruntime-node";
import { InputError } from "../../array/input-error.ts";
import { type DType, NDArray } from "../../array/ndarray.ts";
import { printShape, type Shape } from "../../graph/dim.ts";
import type { CompileOptions, Engine, NamedArrays, Session } from "../engine.ts";
import { cpuLowering } from "./cpu-lowering.ts";
import { type Lowering, lower } from "./lowering.ts";
import { encodeModel, type OnnxModel, type OnnxValue } from "./model.ts";
import { webgpuLowering } from "./webgpu-lowering.ts";

export interface NodeEngineOptions {
  /** Threads of one operator; results are bit-equal only between runs with the same number. */
  readonly threads?: number;
  /** Another provider's table: the CPU provider knows the operators of all tables, only slower. */
  readonly lowering?: Lowering;
}

/** An engine on the CPU. */
export function cpuEngine({ threads = 2, lowering = cpuLowering }: NodeEngineOptions = {}): Engine {
  return nodeEngine("cpu", lowering, { executionProviders: ["cpu"], ...sessionOptions(threads) });
}

/** An engine on a GPU through WebGPU; what the provider does not know runs on the CPU, with this many threads. */
export function webgpuEngine({ threads = 2 }: Pick<NodeEngineOptions, "threads"> = {}): Engine {
  const known = ort.listSupportedBackends().some(({ name }) => name === "webgpu");
  if (!known) throw new InputError(`webgpu: onnxruntime-node has no WebGPU on ${process.platform} ${process.arch}`);
  return nodeEngine("webgpu", webgpuLowering, { executionProviders: ["webgpu", "cpu"], ...sessionOptions(threads) });
}

function sessionOptions(threads: number): ort.InferenceSession.SessionOptions {
  return {
    graphOptimizationLevel: "disabled",
    executionMode: "sequential",
    intraOpNumThreads: threads,
    enableMemPattern: false,
    // Errors only: our graphs keep unused constants and changeable shapes on purpose.
    logSeverityLevel: 3,
    extra: { session: { set_denormal_as_zero: "1" } },
  };
}

function nodeEngine(provider: string, lowering: Lowering, options: ort.InferenceSession.SessionOptions): Engine {
  const counters = { sessions: 0, runs: 0 };
  return {
    provider,
    counters,
    async compile(graph, { constants, constantsFolder, threads, optimize }: CompileOptions = {}) {
      const { model, inputs } = lower(graph, lowering, constants);
      const settings = {
        ...options,
        ...(threads !== undefined && { intraOpNumThreads: threads }),
        ...(optimize && { graphOptimizationLevel: "all" as const }),
        ...(constantsFolder !== undefined && { extra: withFolder(options.extra, constantsFolder) }),
      };
      const session = await ort.InferenceSession.create(encodeModel(inRunOrder(model)), settings).catch(withoutAdapter);
      counters.sessions++;
      return new NodeSession(session, inputs, counters);
    },
  };
}

/**
 * ONNX Runtime walks back from the ends of a graph, always taking the node that stands last in the file: so the node
 * that should run first goes last. Order decides how much memory a backward pass needs.
 */
function inRunOrder(model: OnnxModel): OnnxModel {
  return { ...model, nodes: [...model.nodes].reverse() };
}

/** ONNX Runtime looks for a GPU when the first session starts; anything else that fails is a defect. */
function withoutAdapter(error: unknown): never {
  const message = error instanceof Error ? error.message : String(error);
  if (!/WebGPU (adapter|device)/.test(message)) throw error;
  throw new InputError(`webgpu: no GPU was found: ${message.split(": ").at(-1)!.trim()}`);
}

/** Lets a model that is handed over as bytes find weights in files of this folder; packed copies would double their memory. */
function withFolder(extra: Record<string, unknown> | undefined, folder: string): Record<string, unknown> {
  const session = (extra?.session ?? {}) as Record<string, unknown>;
  const mapping = { model_external_initializers_file_folder_path: folder, disable_prepacking: "1" };
  return { ...extra, session: { ...session, ...mapping } };
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
    const sizes = new Map<string, number>();
    for (const expected of this.#inputs) {
      tensors[expected.name] = this.#wrap(checked(expected, feeds[expected.name], sizes));
    }
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
    const tensor = toOrt(array);
    this.#wrapped.set(array, tensor);
    return tensor;
  }
}

/** `sizes` holds the symbols met so far: one symbol has one size in a run. */
function checked(expected: OnnxValue, found: NDArray | undefined, sizes: Map<string, number>): NDArray {
  const { name, dtype, shape } = expected;
  if (!found) throw new InputError(`run: input ${name} ${dtype}${printShape(shape)} was not fed`);
  if (found.dtype !== dtype || !fits(found.shape, shape, sizes)) {
    const known = shape.flatMap((dim) => (typeof dim === "number" ? [] : [`${dim.name} = ${sizes.get(dim.name)}`]));
    const where = known.length > 0 ? ` where ${known.join(", ")}` : "";
    throw new InputError(
      `run: input ${name} expects ${dtype}${printShape(shape)}${where}, got ${found.dtype}[${found.shape}]`,
    );
  }
  return found;
}

function fits(found: readonly number[], expected: Shape, sizes: Map<string, number>): boolean {
  if (found.length !== expected.length) return false;
  return expected.every((dim, i) => {
    if (typeof dim === "number") return dim === found[i];
    if (!sizes.has(dim.name)) sizes.set(dim.name, found[i]!);
    return sizes.get(dim.name) === found[i];
  });
}

function toOrt({ dtype, data, shape }: NDArray): ort.Tensor {
  return new ort.Tensor(dtype as "float32", data as Float32Array, shape);
}

function fromOrt(x: ort.Tensor): NDArray {
  return new NDArray(x.type as DType, x.dims, x.data as Float32Array) as NDArray;
}

/** Runs an ONNX file once as any program would: from its path, with default options on the CPU. Returns all outputs. */
export async function runFile(path: string, feeds: NamedArrays): Promise<Record<string, NDArray>> {
  const session = await ort.InferenceSession.create(path);
  try {
    const results = await session.run(mapped(feeds, toOrt));
    return mapped(results, fromOrt);
  } finally {
    await session.release();
  }
}

const mapped = <A, B>(values: Readonly<Record<string, A>>, to: (value: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, to(value)]));
