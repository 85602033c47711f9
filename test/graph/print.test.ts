/** Graphs as text: the derivation of a small layer, readable line by line. */
import { expect, test } from "vitest";
import { float32 } from "../../src/array/ndarray.ts";
import * as g from "../../src/graph/build.ts";
import { symbolicDim } from "../../src/graph/dim.ts";
import { gradient } from "../../src/graph/gradient.ts";
import { printGraph } from "../../src/graph/print.ts";
import { simplify } from "../../src/graph/simplify.ts";
import type { Tensor } from "../../src/graph/tensor.ts";

const N = symbolicDim("N");

test("a linear layer with GELU and its weight gradient", () => {
  const weight = g.parameter("fc1.weight", [8, 4]);
  const h = g.linear(g.input("x", [N, 4]), weight, g.parameter("fc1.bias", [8]));
  const loss = g.sum(g.geluTanh(h));
  const [dWeight] = gradient(loss, [weight]);
  expect(printGraph(simplify({ outputs: { loss, dWeight: dWeight! } }))).toMatchInlineSnapshot(`
    "%0 = linear(input x, fc1.weight, fc1.bias) [N, 8]
    %1 = geluTanh(%0) [N, 8]
    %2 = sum<axes:0,1>(%1) []
    %3 = reshape(fill 1) [1, 1]
    %4 = mul(%0, %0) [N, 8]
    %5 = mul(%4, constant 0.07135481387376785) [N, 8]
    %6 = add(%5, constant 1.5957691669464111) [N, 8]
    %7 = mul(%0, %6) [N, 8]
    %8 = sigmoid(%7) [N, 8]
    %9 = mul(%6, constant 3) [N, 8]
    %10 = sub(%9, constant 3.1915383338928223) [N, 8]
    %11 = mul(%0, %10) [N, 8]
    %12 = sub(constant 1, %8) [N, 8]
    %13 = mul(%11, %12) [N, 8]
    %14 = add(%13, constant 1) [N, 8]
    %15 = mul(%8, %14) [N, 8]
    %16 = mul(%3, %15) [N, 8]
    %17 = linearWeightGradient(%16, input x) [8, 4]
    loss: %2
    dWeight: %17"
  `);
});

test("attributes, several outputs and constants are shown", () => {
  const x = g.input("x", [N, 6]);
  const [a, b] = g.split(x, 2, -1) as [Tensor, Tensor];
  const product = g.matmul(a, b, { transposeB: true, scale: 0.5 });
  const y = g.pad(g.slice(g.add(a, g.constant(float32([1, 2, 3]))), 1, 1, 3), 1, 0, 1);
  expect(
    printGraph({ outputs: { product, y, table: g.constant(float32(new Float32Array(9))) } }),
  ).toMatchInlineSnapshot(`
    "%0 = split<axis:1>(input x) [N, 3] [N, 3]
    %1 = matmul<ABᵀ·0.5>(%0.0, %0.1) [N, N]
    %2 = add(%0.0, constant 1 2 3) [N, 3]
    %3 = slice<axis:1,start:1,end:3>(%2) [N, 2]
    %4 = pad<axis:1,before:0,after:1>(%3) [N, 3]
    product: %1
    y: %4
    table: constant 9 numbers"
  `);
});
