/** The interface every engine offers: compile a graph, feed named arrays, get named arrays. */
import type { DType, NDArray } from "../array/ndarray.ts";
import type { Graph } from "../graph/graph.ts";

export type NamedArrays = Readonly<Record<string, NDArray>>;

/** Where the bytes of a weight are in another file, relative to a folder. */
export interface ExternalData {
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

/** A weight that is mapped from its file. */
export interface ExternalWeight {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly external: ExternalData;
}

/** A weight that is part of a compiled graph instead of being fed. */
export type ConstantWeight = { readonly name: string; readonly value: NDArray } | ExternalWeight;

export type Constants = ReadonlyMap<string, ConstantWeight>;

/** A compiled graph. */
export interface Session {
  /**
   * Computes all outputs. Outputs named in `into` are written to those arrays, the others are new.
   * @throws InputError if an input is missing or has another shape or type than the graph expects.
   */
  run(feeds: NamedArrays, into?: NamedArrays): Promise<Record<string, NDArray>>;
  release(): Promise<void>;
}

export interface CompileOptions {
  /** Weights that become part of the model. All other parameters are fed at each run. */
  readonly constants?: Constants;
  /** The folder that constant weights with a `location` lie in; they are mapped, not copied into the model. */
  readonly constantsFolder?: string;
  /**
   * Lets the runtime rewrite the graph, and lay images out in blocks of channels: convolutions are 1.5 times as fast. It
   * pays for networks of many convolutions with constant weights.
   */
  readonly optimize?: boolean;
  /** Overrides the engine's number of threads: small element-wise graphs are fastest on one. */
  readonly threads?: number;
}

/** Something that runs graphs: a provider with its settings. */
export interface Engine {
  readonly provider: string;
  /** Sessions compiled and runs made so far. */
  readonly counters: { sessions: number; runs: number };
  compile(graph: Graph, options?: CompileOptions): Promise<Session>;
}
