/** What the operation `bernoulli` accepts, and what rewrites do with it. */
import { describe, expect, test } from "vitest";
import { bernoulli, input, mul, stopGradient, sum } from "../../src/graph/build.ts";
import { symbolicDim } from "../../src/graph/dim.ts";
import { gradient } from "../../src/graph/gradient.ts";
import { nodesOf } from "../../src/graph/graph.ts";
import { printGraph } from "../../src/graph/print.ts";
import { simplify } from "../../src/graph/simplify.ts";
import { apply, ShapeError } from "../../src/graph/tensor.ts";

const N = symbolicDim("N");
const key = input("key", [N, 2], "int32");
const x = input("x", [N, 3]);

describe("the operation bernoulli", () => {
  test.each([
    ["a key of numbers", () => bernoulli(x, [N, 3], 0.5, 1), "expects an int32 key [N, 2]"],
    [
      "a key of three words",
      () => bernoulli(input("k", [N, 3], "int32"), [N, 3], 0.5, 1),
      "expects an int32 key [N, 2]",
    ],
    ["other rows than the key has", () => bernoulli(key, [4, 3], 0.5, 1), "expects a key for each row of [4, 3]"],
    ["a shape without rows", () => bernoulli(key, [], 0.5, 1), "expects a key for each row of []"],
    ["a probability above 1", () => bernoulli(key, [N], 1.5, 1), "expects a probability in [0, 1]"],
    ["a probability that is no number", () => bernoulli(key, [N], Number.NaN, 1), "expects a probability in [0, 1]"],
    [
      "a probability between the draws",
      () => apply("bernoulli", [key], { probability: 0.1, stream: 1, shape: [N] }),
      "a multiple of 2^-16, not 0.1",
    ],
    ["a stream of more than 32 bits", () => bernoulli(key, [N], 0.5, 2 ** 32), "expects a stream of 32 bits"],
    ["a negative stream", () => bernoulli(key, [N], 0.5, -1), "expects a stream of 32 bits"],
  ])("refuses %s", (_, trace, message) => {
    expect(trace).toThrow(ShapeError);
    expect(trace).toThrow(message);
  });

  test("says in print what it draws with", () => {
    expect(printGraph({ outputs: { y: bernoulli(key, [N, 3], 0.1, 7) } })).toMatchInlineSnapshot(`
      "%0 = bernoulli<p:0.100006103515625 stream:7>(input key) [N, 3]
      y: %0"
    `);
  });

  test("is drawn once for one place, and apart for two", () => {
    const y = [1, 1, 2].map((stream) => bernoulli(key, [N, 3], 0.5, stream));
    const outputs = { a: mul(x, y[0]!), b: mul(y[1]!, x), c: mul(x, y[2]!) };
    const drawn = nodesOf(Object.values(simplify({ outputs }).outputs)).filter(({ op }) => op === "bernoulli");
    expect(drawn).toHaveLength(2);
  });

  test("is drawn once for the forward and the backward pass, which goes past it", () => {
    const y = mul(x, bernoulli(stopGradient(key), [N, 3], 0.5, 1));
    const loss = sum(mul(y, y));
    const [dx] = gradient(loss, [x]);
    const nodes = nodesOf([loss, dx!]);
    expect(nodes.filter(({ op }) => op === "bernoulli")).toHaveLength(1);
    expect(printGraph({ outputs: { d: gradient(loss, [key])[0]! } })).toContain("fill 0");
  });
});
