/** What a model author reads when shapes do not fit: the operation, what was found, and the nearest weight. */
import { describe, expect, test } from "vitest";
import * as g from "../../src/graph/build.ts";
import { symbolicDim } from "../../src/graph/dim.ts";
import { leavesOf, nodesOf } from "../../src/graph/graph.ts";
import { ShapeError, type Tensor } from "../../src/graph/tensor.ts";

const N = symbolicDim("N");
const x = g.input("x", [N, 49, 64]);
const index = g.input("index", [N], "int32");
const image = g.input("image", [N, 3, 8, 8]);

const refused: Record<string, readonly [() => Tensor | readonly Tensor[], string]> = {
  "a linear with a wrong weight": [
    () => g.linear(x, g.parameter("blocks.3.attn.qkv.weight", [192, 48])),
    "blocks.3.attn.qkv.weight › linear: expects weight [O, 64]; found float32[N, 49, 64], float32[192, 48]",
  ],
  "a linear with a wrong bias": [
    () => g.linear(x, g.parameter("w", [8, 64]), g.parameter("b", [9])),
    "b › linear: expects an addend [8] or [N, 49, 8]; found float32[N, 49, 64], float32[8, 64], float32[9]",
  ],
  "a sum far behind a weight": [
    () => g.add(g.geluTanh(g.linear(x, g.parameter("mlp.fc1.weight", [8, 64]))), g.input("y", [7])),
    "mlp.fc1.weight › add: expects shapes that broadcast; found float32[N, 49, 8], float32[7]",
  ],
  "operands of two types": [
    () => g.mul(x, g.input("i", [], "int32")),
    "mul: expects two operands of one type; found float32[N, 49, 64], int32[]",
  ],
  "a function of whole numbers": [
    () => g.exp(index),
    "exp: expects one operand of floating-point numbers; found int32[N]",
  ],
  "a matrix product": [
    () => g.matmul(x, x),
    "matmul: expects inner sizes that agree; found float32[N, 49, 64], float32[N, 49, 64]",
  ],
  "a product of batches of two sizes": [
    () => g.matmul(x, g.input("y", [symbolicDim("M"), 64, 3])),
    "matmul: expects the same leading axes; found float32[N, 49, 64], float32[M, 64, 3]",
  ],
  "a reshape": [
    () => g.reshape(x, [N, 50, 64]),
    "reshape: expects as many elements as [N, 50, 64] holds; found float32[N, 49, 64]",
  ],
  "a reshape to another symbol": [
    () => g.reshape(x, [symbolicDim("M"), 49, 64]),
    "reshape: expects as many elements as [M, 49, 64] holds; found float32[N, 49, 64]",
  ],
  "a transpose that repeats an axis": [
    () => g.transpose(x, [0, 1, 1]),
    "transpose: expects [0,1,1] to order the axes; found float32[N, 49, 64]",
  ],
  "a transpose past the last axis": [
    () => g.transpose(x, [0, 1, 3]),
    "transpose: expects [0,1,3] to order the axes; found float32[N, 49, 64]",
  ],
  "a broadcast": [
    () => g.broadcast(x, [N, 49, 1]),
    "broadcast: does not broadcast to [N, 49, 1]; found float32[N, 49, 64]",
  ],
  "a split": [() => g.split(x, 5, -1), "split: expects axis 2 to divide into 5 parts; found float32[N, 49, 64]"],
  "a slice": [() => g.slice(x, 1, 40, 50), "slice: expects [40, 50) within axis 1; found float32[N, 49, 64]"],
  "a slice of a symbolic axis": [
    () => g.slice(x, 0, 0, 1),
    "slice: expects [0, 1) within axis 0; found float32[N, 49, 64]",
  ],
  "a concatenation": [
    () => g.concat([x, g.input("y", [N, 48, 64])], 2),
    "concat: expects operands that differ in axis 2 only; found float32[N, 49, 64], float32[N, 48, 64]",
  ],
  "a concatenation along a symbol": [
    () => g.concat([x, x], 0),
    "concat: expects fixed sizes along axis 0; found float32[N, 49, 64], float32[N, 49, 64]",
  ],
  "a sum over a missing axis": [
    () => g.sum(x, [3]),
    "sum: expects axes [3] within the operand; found float32[N, 49, 64]",
  ],
  "a gather by floats": [
    () => g.gather(x, g.input("f", [N])),
    "gather: expects x and an int32 index; found float32[N, 49, 64], float32[N]",
  ],
  "a where without condition": [
    () => g.where(x, x, 0),
    "where: expects a condition and two values; found float32[N, 49, 64], float32[N, 49, 64], float32[]",
  ],
  "attention over one head axis too few": [
    () => g.attention(x, x, x, 1),
    "attention: expects q, k, v of one shape [N, H, T, D]; found float32[N, 49, 64], float32[N, 49, 64], float32[N, 49, 64]",
  ],
  "a convolution": [
    () => g.conv2d(image, g.parameter("x_embedder.proj.weight", [64, 4, 2, 2]), undefined, 2),
    "x_embedder.proj.weight › conv2d: expects the weight's second axis to be the image's channels; found float32[N, 3, 8, 8], float32[64, 4, 2, 2]",
  ],
  "a pool of tokens": [() => g.maxPool2d(x, 2), "maxPool2d: expects x [N, C, H, W]; found float32[N, 49, 64]"],
};

describe("a shape error says what is wrong with", () => {
  test.each(Object.entries(refused))("%s", (_, [build, message]) => {
    let error: unknown;
    try {
      build();
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(ShapeError);
    expect((error as ShapeError).message).toBe(message);
  });

  test("one name for two shapes", () => {
    const y = g.add(g.sum(g.parameter("w", [2])), g.sum(g.parameter("w", [3])));
    expect(() => leavesOf(nodesOf([y]), "parameter")).toThrow("parameter w is used with two shapes");
  });
});
