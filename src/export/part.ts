/** One function of a pipeline on its way to a file of its own. */
import type { NDArray } from "../array/ndarray.ts";
import type { NamedArrays } from "../engine/engine.ts";
import type { Graph } from "../graph/graph.ts";

/** A graph, and what a reader of `pipeline.json` has to know of it. */
export interface Part {
  /** The file's name without `.onnx`. */
  readonly name: string;
  readonly graph: Graph;
  /** What each input and output is, in a few words. */
  readonly about: Readonly<Record<string, string>>;
  /** A small feed that is always the same, to try the file with; `rows` where the number of rows is open. */
  example(rows: number): NamedArrays;
}

/** Rows of an example that are fixed by the graph, or as many as asked for. */
export const rowsOf = (batch: number | undefined, rows: number): number => batch ?? rows;

/** Feeds by name, without those that the graph does not have. */
export function feeds(arrays: Readonly<Record<string, NDArray | undefined>>): NamedArrays {
  return Object.fromEntries(
    Object.entries(arrays).filter((entry): entry is [string, NDArray] => entry[1] !== undefined),
  );
}
