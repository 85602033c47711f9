/** The interface every engine offers: compile a graph, feed named arrays, get named arrays. */
import type { NDArray } from "../array/ndarray.ts";
import type { Graph } from "../graph/graph.ts";
import type { FrozenWeights } from "./onnx/lowering.ts";

export type NamedArrays = Readonly<Record<string, NDArray>>;

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
  readonly frozen?: FrozenWeights;
  /** The folder that frozen weights with a `location` lie in; they are mapped, not copied into the model. */
  readonly frozenFolder?: string;
  /**
   * Lets the runtime rewrite the graph, and lay images out in blocks of channels: convolutions are 1.5 times as fast. It
   * pays for networks of many convolutions with frozen weights.
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
