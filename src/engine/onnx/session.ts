/** ONNX Runtime sessions: opening one for a graph, and checking what it is fed. */
import * as ort from "onnxruntime-node";
import { InputError } from "../../array/input-error.ts";
import { type DType, NDArray } from "../../array/ndarray.ts";
import { printShape, type Shape } from "../../graph/dim.ts";
import { type Graph, leavesOf, nodesOf } from "../../graph/graph.ts";
import type { GraphDType, Op } from "../../graph/op.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { DeviceArray, Inputs, NamedArrays } from "../engine.ts";
import { type Lowering, lower } from "./lowering.ts";
import type { MappedWeights } from "./mapped-weights.ts";
import { type ConstantWeight, encodeModel, type OnnxModel, type OnnxValue } from "./model.ts";

export type SessionOptions = ort.InferenceSession.SessionOptions;

/** Settings of every session; results are bit-equal only between runs with the same number of threads. */
export function sessionOptions(providers: readonly string[], threads: number): SessionOptions {
  return {
    executionProviders: [...providers],
    graphOptimizationLevel: "disabled",
    executionMode: "sequential",
    intraOpNumThreads: threads,
    enableMemPattern: false,
    // Errors only: our graphs keep unused constants and changeable shapes on purpose.
    logSeverityLevel: 3,
    extra: { session: { set_denormal_as_zero: "1" } },
  };
}

export interface OpenedSession {
  readonly session: ort.InferenceSession;
  /** What a run must be fed. */
  readonly inputs: readonly OnnxValue[];
  /** The graph's outputs and what the session calls them. */
  readonly outputs: readonly (readonly [name: string, inSession: string])[];
}

const quantized: ReadonlySet<Op> = new Set<Op>(["quantizeRows", "quantizeWeight", "quantizedLinear"]);

/** @throws InputError for a graph with numbers of a type that the device has no kernels for. */
export function requireTypes(device: string, { outputs }: Graph, missing: readonly GraphDType[]): void {
  for (const node of nodesOf(Object.values(outputs))) {
    const isQuantized = missing.includes("int8") && quantized.has(node.op);
    const dtype = isQuantized ? "int8" : node.outputs.find((x) => missing.includes(x.dtype))?.dtype;
    if (dtype) throw new InputError(`${device}: there are no products in ${dtype} on this device; use float32`);
  }
}

/** Lowers a graph and opens a session; `constants` are parts of the model or read from their files in place. */
export async function openSession(
  graph: Graph,
  lowering: Lowering,
  options: SessionOptions,
  constants: ReadonlyMap<string, ConstantWeight> = new Map(),
  folder?: MappedWeights["folder"],
): Promise<OpenedSession> {
  const renamed = withOwnNames(graph);
  const { model, inputs } = lower(
    { outputs: Object.fromEntries(renamed.map(([, own, x]) => [own, x])) },
    lowering,
    constants,
  );
  const settings = folder === undefined ? options : { ...options, extra: withFolder(options.extra, folder) };
  const session = await ort.InferenceSession.create(encodeModel(inRunOrder(model)), settings);
  return { session, inputs, outputs: renamed.map(([name, own]) => [name, own]) };
}

/** Outputs with names that no input has: in ONNX one name is one value. */
export function withOwnNames({ outputs }: Graph): readonly (readonly [name: string, own: string, x: Tensor])[] {
  const nodes = nodesOf(Object.values(outputs));
  const taken = new Set([...leavesOf(nodes, "input").keys(), ...leavesOf(nodes, "parameter").keys()]);
  return Object.entries(outputs).map(([name, x]) => [name, taken.has(name) ? `new ${name}` : name, x]);
}

/**
 * ONNX Runtime walks back from the ends of a graph, always taking the node that stands last in the file: so the node
 * that should run first goes last. Order decides how much memory a backward pass needs.
 */
function inRunOrder(model: OnnxModel): OnnxModel {
  return { ...model, nodes: [...model.nodes].reverse() };
}

/** Lets a model that is handed over as bytes find weights in files of this folder; packed copies would double their memory. */
function withFolder(extra: Record<string, unknown> | undefined, folder: string): Record<string, unknown> {
  const session = (extra?.session ?? {}) as Record<string, unknown>;
  const mapping = { model_external_initializers_file_folder_path: folder, disable_prepacking: "1" };
  return { ...extra, session: { ...session, ...mapping } };
}

/** An input as it was given, if it fits. `sizes` holds the symbols met so far: one symbol has one size in a run. */
export function checkedInput<T extends NDArray | DeviceArray>(
  { name, dtype, shape }: OnnxValue,
  found: T | undefined,
  sizes: Map<string, number>,
): T {
  if (!found) throw new InputError(`run: input ${name} ${dtype}${printShape(shape)} was not fed`);
  if (found.dtype === dtype && fits(found.shape, shape, sizes)) return found;
  const known = shape.flatMap((dim) => (typeof dim === "number" ? [] : [`${dim.name} = ${sizes.get(dim.name)}`]));
  const where = known.length > 0 ? ` where ${known.join(", ")}` : "";
  throw new InputError(
    `run: input ${name} expects ${dtype}${printShape(shape)}${where}, got ${found.dtype}[${found.shape}]`,
  );
}

function fits(found: readonly number[], expected: Shape, sizes: Map<string, number>): boolean {
  if (found.length !== expected.length) return false;
  return expected.every((dim, i) => {
    if (typeof dim === "number") return dim === found[i];
    if (!sizes.has(dim.name)) sizes.set(dim.name, found[i]!);
    return sizes.get(dim.name) === found[i];
  });
}

/** @throws InputError if an array that a run consumes is fed to it under a second name. */
export function refuseDonatedTwice(donate: readonly string[], inputs: Inputs): void {
  const names = new Map<unknown, string>();
  for (const name of donate) {
    const array = inputs[name];
    const other = array && names.get(array);
    if (other !== undefined) throw new InputError(`run: ${other} and ${name} donate one array; a run consumes it once`);
    names.set(array, name);
  }
  for (const [name, array] of Object.entries(inputs)) {
    const donated = names.get(array);
    if (donated !== undefined && donated !== name)
      throw new InputError(`run: ${donated} donates the array that ${name} reads; put it twice`);
  }
}

/** The error for an array that no longer has memory. */
export const goneArray = ({ dtype, shape }: Pick<DeviceArray, "dtype" | "shape">): InputError =>
  new InputError(`array ${dtype}[${shape}] was released or donated to an earlier run, so it has no values any more`);

/** An array of the host as ONNX Runtime takes it, sharing its memory. */
export function toOrt({ dtype, data, shape }: NDArray): ort.Tensor {
  return new ort.Tensor(dtype as "float32", data as Float32Array, shape);
}

/** A tensor on the host as an array, sharing its memory. */
export function fromOrt(x: ort.Tensor): NDArray {
  return new NDArray(x.type as DType, x.dims, x.data as Float32Array) as NDArray;
}

/** Runs an ONNX file once as any program would: from its path, with default options on the CPU. Returns all outputs. */
export async function runFile(path: string, feeds: NamedArrays): Promise<Record<string, NDArray>> {
  const session = await ort.InferenceSession.create(path);
  const mapped = <A, B>(values: Readonly<Record<string, A>>, to: (value: A) => B): Record<string, B> =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [name, to(value)]));
  try {
    return mapped(await session.run(mapped(feeds, toOrt)), fromOrt);
  } finally {
    await session.release();
  }
}
