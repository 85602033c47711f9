/** ONNX models as data, and their encoding as a file (onnx.proto, IR version 10). */
import type { DType, NDArray } from "../../array/ndarray.ts";
import type { Dim } from "../../graph/dim.ts";
import { ProtoWriter } from "./protobuf.ts";

/** A weight whose bytes are in another file, relative to a folder. */
export interface ExternalWeight {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly external: { readonly location: string; readonly offset: number; readonly length: number };
}

/** A weight that is part of a model instead of being fed. */
export type ConstantWeight = { readonly name: string; readonly value: NDArray } | ExternalWeight;

export type Constants = ReadonlyMap<string, ConstantWeight>;

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

export interface OnnxModel {
  readonly nodes: readonly OnnxNode[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly initializers: readonly ConstantWeight[];
  /**
   * Leaves all shapes to run time. ONNX Runtime's memory planner compares each buffer whose shape it knows with every
   * free one; sizes that differ from run to run never match, and planning becomes quadratic
   * in the number of nodes of a routed graph.
   */
  readonly withoutShapes?: boolean;
}

const IR_VERSION = 10;
const OPSET = 21;

/** ONNX's numbers for element types. */
export const typeCodes = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint64: 13,
  bfloat16: 16,
} as const satisfies Readonly<Record<DType | "uint64", number>>;

/** The bytes of an `.onnx` file. */
export function encodeModel(model: OnnxModel): Uint8Array {
  return encodeHeader().message(7, encodeGraph(model)).finish();
}

/**
 * The bytes of an `.onnx` file that holds external weights too, piece by piece: each is read when its turn comes. All
 * lengths are known beforehand, and the order of a message's fields is free, so nothing is held back.
 */
export async function* streamModel(
  model: OnnxModel,
  read: (weight: ExternalWeight) => Promise<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const graph = encodeGraph({ ...model, initializers: model.initializers.filter((x) => "value" in x) }).finish();
  const weights = model.initializers.flatMap((weight) => {
    if ("value" in weight) return [];
    const head = encodeType(weight).opening(9, weight.external.length).finish();
    const opening = new ProtoWriter().opening(5, head.length + weight.external.length).finish();
    return [{ weight, opening, head }];
  });
  const sizes = weights.map(({ weight, opening, head }) => opening.length + head.length + weight.external.length);
  const size = sizes.reduce((sum, one) => sum + one, graph.length);
  yield encodeHeader().opening(7, size).finish();
  yield graph;
  for (const { weight, opening, head } of weights) {
    yield opening;
    yield head;
    yield await read(weight);
  }
}

/** Everything but the graph. */
function encodeHeader(): ProtoWriter {
  return new ProtoWriter()
    .integer(1, IR_VERSION)
    .text(2, "tinyfusion")
    .message(8, new ProtoWriter().text(1, "").integer(2, OPSET))
    .message(8, new ProtoWriter().text(1, "com.microsoft").integer(2, 1));
}

function encodeGraph(model: OnnxModel): ProtoWriter {
  const graph = new ProtoWriter();
  for (const node of model.nodes) graph.message(1, encodeNode(node));
  graph.text(2, "tinyfusion");
  for (const initializer of model.initializers) graph.message(5, encodeInitializer(initializer));
  for (const value of inputsOf(model)) graph.message(11, encodeValue(value, model.withoutShapes === true));
  for (const value of model.outputs) graph.message(12, encodeValue(value, model.withoutShapes === true));
  return graph;
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

function encodeInitializer(initializer: ConstantWeight): ProtoWriter {
  if ("value" in initializer) {
    const { name, value } = initializer;
    const bytes = new Uint8Array(value.data.buffer, value.data.byteOffset, value.data.byteLength);
    return encodeType({ name, dtype: value.dtype, shape: value.shape }).bytes(9, bytes);
  }
  const message = encodeType(initializer);
  for (const [key, value] of Object.entries(initializer.external)) {
    message.message(13, new ProtoWriter().text(1, key).text(2, String(value)));
  }
  return message.integer(14, 1);
}

/** The start of a tensor: all but its numbers. */
function encodeType({ name, dtype, shape }: OnnxValue & { readonly shape: readonly number[] }): ProtoWriter {
  const message = new ProtoWriter();
  for (const dim of shape) message.integer(1, dim);
  return message.integer(2, typeCodes[dtype]).text(8, name);
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
