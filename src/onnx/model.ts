/** ONNX models as data, and their encoding as a file (onnx.proto, IR version 10). */
import type { DType, NDArray } from "../array/ndarray.ts";
import type { Dim } from "../graph/dim.ts";
import { ProtoWriter } from "./protobuf.ts";

export type OnnxAttribute = number | string | readonly number[] | { readonly float: number };

export interface OnnxNode {
  readonly opType: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
  readonly domain: string;
}

export interface OnnxValue {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly Dim[];
}

/** Where the bytes of a weight lie in another file, relative to the model's folder. */
export interface ExternalData {
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

export type OnnxInitializer =
  | { readonly name: string; readonly value: NDArray }
  | (OnnxValue & { readonly shape: readonly number[]; readonly external: ExternalData });

export interface OnnxModel {
  readonly nodes: readonly OnnxNode[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly initializers: readonly OnnxInitializer[];
  /**
   * Leaves all shapes to run time. ONNX Runtime's memory planner compares each buffer whose shape it knows with every
   * free one; sizes that differ from run to run never match, and planning becomes quadratic
   * in the number of nodes of a routed graph.
   */
  readonly withoutShapes?: boolean;
}

const IR_VERSION = 10;
const OPSET = 21;

const typeCodes: Record<DType, number> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  bfloat16: 16,
};

/** The bytes of an `.onnx` file. */
export function encodeModel(model: OnnxModel): Uint8Array {
  const graph = new ProtoWriter();
  for (const node of model.nodes) graph.message(1, encodeNode(node));
  graph.text(2, "tinyfusion");
  for (const initializer of model.initializers) graph.message(5, encodeInitializer(initializer));
  for (const value of inputsOf(model)) graph.message(11, encodeValue(value, model.withoutShapes === true));
  for (const value of model.outputs) graph.message(12, encodeValue(value, model.withoutShapes === true));
  return new ProtoWriter()
    .integer(1, IR_VERSION)
    .text(2, "tinyfusion")
    .message(7, graph)
    .message(8, new ProtoWriter().text(1, "").integer(2, OPSET))
    .message(8, new ProtoWriter().text(1, "com.microsoft").integer(2, 1))
    .finish();
}

/** Constants that are inputs as well count as changeable, so that no shape is inferred from them; nobody feeds them. */
function inputsOf({ inputs, initializers, withoutShapes }: OnnxModel): readonly OnnxValue[] {
  if (!withoutShapes) return inputs;
  const shapes = initializers.flatMap((x) => ("value" in x && x.value.dtype === "int64" ? [x] : []));
  return [...inputs, ...shapes.map(({ name, value }) => ({ name, dtype: value.dtype, shape: value.shape }))];
}

function encodeNode(node: OnnxNode): ProtoWriter {
  const message = new ProtoWriter();
  for (const name of node.inputs) message.text(1, name);
  for (const name of node.outputs) message.text(2, name);
  message.text(4, node.opType);
  for (const [name, value] of Object.entries(node.attributes)) message.message(5, encodeAttribute(name, value));
  return message.text(7, node.domain);
}

function encodeAttribute(name: string, value: OnnxAttribute): ProtoWriter {
  const message = new ProtoWriter().text(1, name);
  if (typeof value === "number") return message.integer(3, value).integer(20, 2);
  if (typeof value === "string") return message.text(4, value).integer(20, 3);
  if ("float" in value) return message.float(2, value.float).integer(20, 1);
  for (const item of value) message.integer(8, item);
  return message.integer(20, 7);
}

function encodeInitializer(initializer: OnnxInitializer): ProtoWriter {
  const message = new ProtoWriter();
  if ("value" in initializer) {
    const { value } = initializer;
    for (const dim of value.shape) message.integer(1, dim);
    message.integer(2, typeCodes[value.dtype]).text(8, initializer.name);
    return message.bytes(9, new Uint8Array(value.data.buffer, value.data.byteOffset, value.data.byteLength));
  }
  for (const dim of initializer.shape) message.integer(1, dim);
  message.integer(2, typeCodes[initializer.dtype]).text(8, initializer.name);
  for (const [key, value] of Object.entries(initializer.external)) {
    message.message(13, new ProtoWriter().text(1, key).text(2, String(value)));
  }
  return message.integer(14, 1);
}

function encodeValue({ name, dtype, shape }: OnnxValue, withoutShape: boolean): ProtoWriter {
  if (withoutShape) {
    const tensor = new ProtoWriter().integer(1, typeCodes[dtype]);
    return new ProtoWriter().text(1, name).message(2, new ProtoWriter().message(1, tensor));
  }
  const dims = new ProtoWriter();
  for (const dim of shape) {
    const item = new ProtoWriter();
    dims.message(1, typeof dim === "number" ? item.integer(1, dim) : item.text(2, dim.name));
  }
  const tensor = new ProtoWriter().integer(1, typeCodes[dtype]).message(2, dims);
  return new ProtoWriter().text(1, name).message(2, new ProtoWriter().message(1, tensor));
}
