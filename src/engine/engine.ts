/** What a device offers: arrays that stay where it computes, and programs that run there. Knows no runtime. */
import type { DType, NDArray } from "../array/ndarray.ts";
import type { StoredTensor } from "../formats/weight-file.ts";
import type { Graph } from "../graph/graph.ts";

export type NamedArrays = Readonly<Record<string, NDArray>>;

/** An array on a device. */
export interface DeviceArray {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Its values on the host, the caller's to keep. @throws InputError once it was released or donated. */
  read(): Promise<NDArray>;
  /** Gives its memory back to the engine; a second call does nothing. */
  release(): void;
}

/** What a program reads: values of the host are copied to the device at each run. */
export type Inputs = Readonly<Record<string, NDArray | DeviceArray>>;

/** A weight in memory, or in a file from which an engine may map it. */
export type Weight = NDArray | StoredTensor;
export type Weights = ReadonlyMap<string, Weight>;

export interface CompileOptions {
  /** Weights that the graph only reads and that never change: they need not be given at each run. */
  readonly constants?: Weights;
  /** Inputs that a run consumes: the output of the same name, if there is one, may take their memory. */
  readonly donate?: readonly string[];
}

/** A compiled graph. */
export interface Program {
  /**
   * Computes all outputs.
   * @throws InputError for an input that is missing, of another shape or type than the graph expects, released, donated
   *   before, or donated twice in this run.
   */
  run(inputs: Inputs): Promise<Record<string, DeviceArray>>;
  release(): Promise<void>;
}

/** A device with its settings. */
export interface Engine {
  /** As `device` names it. */
  readonly name: string;
  /** Copies an array to the device, or keeps it where the device computes on the host's memory: do not change it then. */
  put(value: NDArray): Promise<DeviceArray>;
  compile(graph: Graph, options?: CompileOptions): Promise<Program>;
  /** Frees what is not a program's or an array's. */
  release(): Promise<void>;
}

/** Puts arrays on the device, by name. */
export async function putAll(
  engine: Engine,
  values: Iterable<readonly [string, NDArray]>,
): Promise<Record<string, DeviceArray>> {
  const arrays: Record<string, DeviceArray> = {};
  for (const [name, value] of values) arrays[name] = await engine.put(value);
  return arrays;
}

/** Runs a program and reads all its outputs. @throws as {@link Program.run}. */
export async function runAndRead(program: Program, inputs: Inputs): Promise<Record<string, NDArray>> {
  return readAll(await program.run(inputs));
}

/** Reads arrays and releases them. */
export async function readAll(arrays: Readonly<Record<string, DeviceArray>>): Promise<Record<string, NDArray>> {
  const values: Record<string, NDArray> = {};
  for (const [name, array] of Object.entries(arrays)) {
    values[name] = await array.read();
    array.release();
  }
  return values;
}
