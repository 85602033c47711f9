/** ONNX files byte by byte: the wire format, and models that the engine can load. */
import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { float32, NDArray } from "../../../src/array/ndarray.ts";
import { encodeModel, type OnnxModel } from "../../../src/engine/onnx/model.ts";
import { ProtoWriter } from "../../../src/engine/onnx/protobuf.ts";

const bytes = (writer: ProtoWriter): number[] => [...writer.finish()];

describe("the wire format", () => {
  test("writes small and large whole numbers as varints", () => {
    expect(bytes(new ProtoWriter().integer(1, 0))).toEqual([8, 0]);
    expect(bytes(new ProtoWriter().integer(1, 300))).toEqual([8, 0xac, 2]);
    expect(bytes(new ProtoWriter().integer(20, 2))).toEqual([0xa0, 1, 2]);
    expect(bytes(new ProtoWriter().integer(1, 2 ** 40))).toEqual([8, 128, 128, 128, 128, 128, 32]);
  });

  test("writes negative numbers as ten bytes of two's complement", () => {
    expect(bytes(new ProtoWriter().integer(1, -1))).toEqual([8, ...new Array(9).fill(0xff), 1]);
    expect(bytes(new ProtoWriter().integer(1, -300))).toEqual([8, 0xd4, 0xfd, ...new Array(7).fill(0xff), 1]);
  });

  test("writes floats, text and nested messages", () => {
    expect(bytes(new ProtoWriter().float(2, 1))).toEqual([21, 0, 0, 0x80, 0x3f]);
    expect(bytes(new ProtoWriter().text(1, "é"))).toEqual([10, 2, 0xc3, 0xa9]);
    expect(bytes(new ProtoWriter().message(3, new ProtoWriter().integer(1, 7)))).toEqual([26, 2, 8, 7]);
  });

  test("grows past its first buffer without losing a byte", () => {
    const writer = new ProtoWriter();
    for (let i = 0; i < 500; i++) writer.integer(1, i % 100);
    writer.bytes(2, new Uint8Array(1000).fill(9));
    const written = bytes(writer);
    expect(written).toHaveLength(500 * 2 + 1 + 2 + 1000);
    expect(written.slice(0, 4)).toEqual([8, 0, 8, 1]);
    expect(written.slice(-1000).every((byte) => byte === 9)).toBe(true);
  });
});

describe("a model", () => {
  const int64 = (values: number[]) =>
    new NDArray("int64", [values.length], BigInt64Array.from(values, BigInt)) as NDArray;
  const value = (name: string, shape: OnnxModel["inputs"][number]["shape"]) =>
    ({ name, dtype: "float32", shape }) as const;
  const load = (model: OnnxModel) => ort.InferenceSession.create(encodeModel(model), { logSeverityLevel: 4 });
  const x = () => ({ x: new ort.Tensor("float32", Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]) });

  test("loads, runs and keeps negative attributes, floats, lists and initialisers", async () => {
    const session = await load({
      nodes: [
        { opType: "Concat", inputs: ["x", "w"], outputs: ["a"], attributes: { axis: -2 }, domain: "" },
        { opType: "LeakyRelu", inputs: ["a"], outputs: ["b"], attributes: { alpha: { float: 0.5 } }, domain: "" },
        { opType: "Reshape", inputs: ["b", "shape"], outputs: ["c"], attributes: {}, domain: "" },
        { opType: "Transpose", inputs: ["c"], outputs: ["y"], attributes: { perm: [1, 0] }, domain: "" },
      ],
      inputs: [value("x", [{ name: "N" }, 3])],
      outputs: [value("y", [3, { name: "M" }])],
      initializers: [
        { name: "w", value: float32([-2, -4, -6], [1, 3]) },
        { name: "shape", value: int64([-1, 3]) },
      ],
    });
    expect(session.inputNames).toEqual(["x"]);
    const { y } = await session.run(x());
    expect(y!.dims).toEqual([3, 3]);
    expect([...(y!.data as Float32Array)]).toEqual([1, 4, -1, 2, 5, -2, 3, 6, -3]);
  });

  test("may use text attributes and ONNX Runtime's own operators", async () => {
    const session = await load({
      nodes: [
        { opType: "Gelu", inputs: ["x"], outputs: ["a"], attributes: {}, domain: "com.microsoft" },
        { opType: "Gelu", inputs: ["x"], outputs: ["b"], attributes: { approximate: "none" }, domain: "" },
        { opType: "Sub", inputs: ["a", "b"], outputs: ["y"], attributes: {}, domain: "" },
      ],
      inputs: [value("x", [2, 3])],
      outputs: [value("y", [2, 3])],
      initializers: [],
    });
    const { y } = await session.run(x());
    for (const difference of y!.data as Float32Array) expect(Math.abs(difference)).toBeLessThan(1e-6);
  });

  test("with an unknown operator is refused", async () => {
    const node = { opType: "NoSuchOperator", inputs: ["x"], outputs: ["y"], attributes: {}, domain: "" };
    const model = { nodes: [node], inputs: [value("x", [1])], outputs: [value("y", [1])], initializers: [] };
    await expect(load(model)).rejects.toThrow("NoSuchOperator");
  });
});
