import { expect, test } from "vitest";
import { add, attention, conv2d, input, linear, matmul, parameter, relu, reshape } from "../../src/graph/build.ts";
import { symbolicDim } from "../../src/graph/dim.ts";
import { graphCost } from "../../src/graph/graph-cost.ts";

const rows = () => 3;

test("counts two operations for each multiplication of the products", () => {
  const x = input("x", [symbolicDim("n"), 5, 8]);
  const flops = (out: Parameters<typeof relu>[0]) => graphCost({ outputs: { out } }, rows).flops;
  expect(flops(linear(x, parameter("w", [16, 8])))).toBe(2 * 3 * 5 * 8 * 16);
  expect(flops(matmul(x, input("y", [8, 7])))).toBe(2 * 3 * 5 * 8 * 7);
  const q = input("q", [2, 4, 6, 8]);
  expect(flops(attention(q, q, q, 1))).toBe(2 * 2 * (2 * 4 * 6 * 6 * 8));
  const image = input("image", [2, 3, 10, 10]);
  expect(flops(conv2d(image, parameter("k", [4, 3, 5, 5]), undefined, 5))).toBe(2 * (2 * 4 * 2 * 2) * 75);
});

test("knows what is alive at the worst moment; a view costs nothing but keeps its operand", () => {
  const x = input("x", [100]);
  const [a, b] = [relu(x), relu(relu(x))];
  const view = reshape(a, [10, 10]);
  const out = add(reshape(view, [100]), b);
  const cost = graphCost({ outputs: { out } }, rows);
  expect(cost.parameters).toBe(0);
  expect(cost.nodes).toBe(6);
  expect(cost.peakBytes).toBe(3 * 100 * 4);
  const chain = graphCost({ outputs: { out: relu(relu(relu(relu(x)))) } }, rows);
  expect(chain.peakBytes).toBe(800);
});
