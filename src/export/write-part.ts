/** Writing one function as an ONNX file, with its weights in it or in a second file beside it. */
import { join } from "node:path";
import type { Weight } from "../engine/engine.ts";
import { type Lowering, lower } from "../engine/onnx/lowering.ts";
import { type ExternalWeight, encodeModel, type OnnxValue, streamModel } from "../engine/onnx/model.ts";
import { type Dim, printDim } from "../graph/dim.ts";
import { type Graph, leavesOf, nodesOf } from "../graph/graph.ts";
import { writeAtomically } from "../storage/atomic-write.ts";
import type { Part } from "./part.ts";
import { type ExportDtype, layOutWeights, weightBytes, weightFile } from "./stored-weights.ts";

/** A file of one protocol-buffer message ends at 2 GB; the nodes need a part of that. */
const MOST_BYTES_INSIDE = 1.8e9;

export interface WriteSettings {
  readonly lowering: Lowering;
  readonly dtype: ExportDtype;
  /** Weights go to a second file even if they would fit into the first. */
  readonly external: boolean;
}

/** An input or output as `pipeline.json` tells it; a size that is open has a name. */
export interface Port {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly (number | string)[];
  readonly about: string;
}

/** A function as `pipeline.json` tells it. */
export interface WrittenPart {
  readonly file: string;
  /** The file of the weights, if they are not in the model's; it must be offered under this name. */
  readonly data?: string;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
}

/** Those weights that a graph reads. */
export function weightsOf(graph: Graph, weights: ReadonlyMap<string, Weight>): Map<string, Weight> {
  const names = leavesOf(nodesOf(Object.values(graph.outputs)), "parameter").keys();
  return new Map(Array.from(names, (name) => [name, weights.get(name)!] as const));
}

/** Writes `NAME.onnx`, and `NAME.onnx.data` if needed; one weight is in memory at a time. */
export async function writePart(
  folder: string,
  part: Part,
  weights: ReadonlyMap<string, Weight>,
  { lowering, dtype, external }: WriteSettings,
): Promise<WrittenPart> {
  const [file, data] = [`${part.name}.onnx`, `${part.name}.onnx.data`];
  const layout = layOutWeights(weightsOf(part.graph, weights), dtype, data);
  const { model } = lower(part.graph, lowering, new Map(layout.map((weight) => [weight.name, weight])));
  const read = ({ name }: ExternalWeight) => weightBytes(name, weights.get(name)!, dtype);
  const isApart = external || layout.reduce((sum, weight) => sum + weight.external.length, 0) > MOST_BYTES_INSIDE;
  if (isApart) await writeAtomically(join(folder, data), weightFile(layout, read));
  await writeAtomically(join(folder, file), isApart ? encodeModel(model) : streamModel(model, read));
  const port = ({ name, dtype, shape }: OnnxValue): Port => {
    const sizes = shape.map((dim: Dim) => (typeof dim === "number" ? dim : printDim(dim)));
    return { name, dtype, shape: sizes, about: part.about[name] ?? "" };
  };
  return { file, ...(isApart && { data }), inputs: model.inputs.map(port), outputs: model.outputs.map(port) };
}
