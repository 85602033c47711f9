/** Which way gradients flow: through intermediate tensors, shared expressions, stops, ties, and through gradients again. */
import { describe, expect, test } from "vitest";
import { float32 } from "../../src/array/ndarray.ts";
import * as g from "../../src/graph/build.ts";
import { symbolicDim } from "../../src/graph/dim.ts";
import { gradient } from "../../src/graph/gradient.ts";
import { apply, ShapeError, type Tensor } from "../../src/graph/tensor.ts";
import { centralDifferences } from "../reference/central-differences.ts";
import { evaluate, type Value } from "../reference/evaluate.ts";

const list = (...numbers: number[]): Value => ({ shape: [numbers.length], data: Float64Array.from(numbers) });
const x = g.input("x", [3]);
const feeds = { x: list(0.5, -1.25, 2) };

function numbers(y: Tensor, fed: Record<string, Value> = feeds): number[] {
  return [...evaluate({ outputs: { y } }, fed).y!.data];
}

describe("what is differentiated", () => {
  test("a tensor between the parameters and the loss", () => {
    const middle = g.mul(x, 3);
    const loss = g.sum(g.mul(middle, middle));
    const [dMiddle, dx] = gradient(loss, [middle, x]) as [Tensor, Tensor];
    expect(numbers(dMiddle)).toEqual([3, -7.5, 12]);
    expect(numbers(dx)).toEqual([9, -22.5, 36]);
  });

  test("one output of a node with several", () => {
    const [first, second] = g.split(g.reshape(g.mul(g.input("x", [4]), 2), [2, 2]), 2, 0) as [Tensor, Tensor];
    const [dFirst, dSecond] = gradient(g.sum(g.mul(first, second)), [first, second]) as [Tensor, Tensor];
    const fed = { x: list(1, 2, 3, 4) };
    expect([numbers(dFirst, fed), numbers(dSecond, fed)]).toEqual([
      [6, 8],
      [2, 4],
    ]);
  });

  test("a tensor that the loss does not depend on gets zeros of its shape", () => {
    const other = g.input("other", [2, 2]);
    const [dOther, dx] = gradient(g.sum(x), [other, x]) as [Tensor, Tensor];
    expect(dOther.shape).toEqual([2, 2]);
    expect(numbers(dOther)).toEqual([0, 0, 0, 0]);
    expect(numbers(dx)).toEqual([1, 1, 1]);
  });

  test("the loss itself has gradient one", () => {
    const loss = g.sum(x);
    expect(numbers(gradient(loss, [loss])[0]!)).toEqual([1]);
  });

  test("an expression that is used three times gets the sum of its gradients", () => {
    const shared = g.exp(x);
    const loss = g.sum(g.add(g.mul(shared, shared), g.mul(g.tanh(shared), x)));
    const [dx] = gradient(loss, [x]) as [Tensor];
    const expected = centralDifferences(loss, feeds, "x");
    numbers(dx).forEach((value, i) => {
      expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-6 * 110);
    });
  });

  test("a loss with axes is refused", () => {
    expect(() => gradient(x, [x])).toThrow(ShapeError);
  });
});

describe("where gradients stop", () => {
  test("stopGradient passes the value and no gradient", () => {
    const y = g.mul(x, g.stopGradient(g.mul(x, x)));
    expect(numbers(y)).toEqual([0.125, -1.953125, 8]);
    expect(numbers(gradient(g.sum(y), [x])[0]!)).toEqual([0.25, 1.5625, 4]);
  });

  test("a loss behind stopGradient alone has zero gradient", () => {
    expect(numbers(gradient(g.sum(g.stopGradient(g.mul(x, x))), [x])[0]!)).toEqual([0, 0, 0]);
  });

  test("a stopped tensor can itself be asked for", () => {
    const stopped = g.stopGradient(x);
    const [dStopped, dx] = gradient(g.sum(g.mul(stopped, stopped)), [stopped, x]) as [Tensor, Tensor];
    expect([numbers(dStopped), numbers(dx)]).toEqual([
      [1, -2.5, 4],
      [0, 0, 0],
    ]);
  });

  test("the second operand of after gets none", () => {
    const y = g.input("y", [3]);
    const [dx, dy] = gradient(g.sum(g.controlDependency(x, y)), [x, y]) as [Tensor, Tensor];
    const fed = { ...feeds, y: list(1, 2, 3) };
    expect([numbers(dx, fed), numbers(dy, fed)]).toEqual([
      [1, 1, 1],
      [0, 0, 0],
    ]);
  });
});

describe("at kinks and ties", () => {
  const tied = { x: list(2, 2, -1) };

  test("tied maxima share the gradient equally", () => {
    expect(numbers(gradient(g.max(x), [x])[0]!, tied)).toEqual([0.5, 0.5, 0]);
  });

  test("of two equal operands of maximum and minimum each gets half", () => {
    for (const op of [g.maximum, g.minimum]) {
      const y = g.constant(float32([2, 2, -1]));
      const [dx, dy] = gradient(g.sum(op(x, y)), [x, y]) as [Tensor, Tensor];
      expect([numbers(dx, tied), numbers(dy, tied)]).toEqual([
        [0.5, 0.5, 0.5],
        [0.5, 0.5, 0.5],
      ]);
    }
    const apart = g.constant(float32([1, 3, -1]));
    const [dMax, dMin] = [g.maximum, g.minimum].map((op) => gradient(g.sum(op(x, apart)), [x])[0]!) as [Tensor, Tensor];
    expect([numbers(dMax, tied), numbers(dMin, tied)]).toEqual([
      [1, 0, 0.5],
      [0, 1, 0.5],
    ]);
  });

  test("relu and abs have gradient 0 at 0", () => {
    const zero = { x: list(0, 0, 0) };
    expect(numbers(gradient(g.sum(g.relu(x)), [x])[0]!, zero)).toEqual([0, 0, 0]);
    expect(numbers(gradient(g.sum(g.abs(x)), [x])[0]!, zero)).toEqual([0, 0, 0]);
    expect(numbers(gradient(g.sum(g.abs(x)), [x])[0]!)).toEqual([1, -1, 1]);
  });

  test("sqrt has an infinite gradient at 0", () => {
    expect(numbers(gradient(g.sum(g.sqrt(x)), [x])[0]!, { x: list(0, 4, 1) })).toEqual([Infinity, 0.25, 0.5]);
  });

  test("exact GELU has gradient ½ at 0", () => {
    expect(numbers(gradient(g.sum(g.gelu(x)), [x])[0]!, { x: list(0, 0, 0) })).toEqual([0.5, 0.5, 0.5]);
  });
});

describe("element types", () => {
  const unary = {
    neg: g.neg,
    exp: g.exp,
    log: g.log,
    sqrt: g.sqrt,
    abs: g.abs,
    cos: g.cos,
    sin: g.sin,
    tanh: g.tanh,
    sigmoid: g.sigmoid,
    erf: g.erf,
    relu: g.relu,
    silu: g.silu,
    geluTanh: g.geluTanh,
    gelu: g.gelu,
  };

  test.each(Object.entries(unary))("a float64 loss of %s has a float64 gradient", (_, op) => {
    const [narrow, wide] = (["float32", "float64"] as const).map((dtype) => {
      const v = g.input("x", [3], dtype);
      return gradient(g.sum(op(v)), [v])[0]!;
    }) as [Tensor, Tensor];
    expect([narrow.dtype, wide.dtype]).toEqual(["float32", "float64"]);
    const fed = { x: list(0.5, 1.25, 2) };
    const expected = numbers(narrow, fed).map((value) => expect.closeTo(value, 6));
    expect(numbers(wide, fed)).toEqual(expected);
  });

  test("sums, products, maxima, norms and rows of float64 have float64 gradients, zeros too", () => {
    const [m, other] = [g.input("m", [2, 4], "float64"), g.input("other", [4, 4], "float64")];
    const losses = [
      g.mean(g.mul(m, m), [0, 1]),
      g.max(m),
      g.sum(g.maximum(m, 0)),
      g.sum(g.matmul(m, other)),
      g.sum(g.mul(g.softmax(m), m)),
      g.sum(g.exp(g.layerNorm(m, 1e-6))),
      g.sum(g.concat([m, m], 0)),
      g.sum(g.where(g.less(m, 0), m, g.neg(m))),
    ];
    for (const loss of losses)
      expect(gradient(loss, [m, other]).map(({ dtype }) => dtype)).toEqual(["float64", "float64"]);
  });

  test("a mean over rows whose number is not fixed is float64, too", () => {
    const rows = g.input("x", [symbolicDim("rows")], "float64");
    expect(gradient(g.mean(rows, [0]), [rows])[0]!.dtype).toBe("float64");
  });

  test("a loss of whole numbers is refused, and their own gradient is zero", () => {
    const whole = g.input("n", [3], "int32");
    expect(() => gradient(g.sum(whole), [whole])).toThrow(/loss of floating-point numbers, got int32/);
    expect(numbers(gradient(g.sum(x), [whole])[0]!)).toEqual([0, 0, 0]);
  });
});

describe("gradients of gradients", () => {
  const [w, v] = [g.parameter("w", [3, 3]), g.input("v", [2, 3])];
  const fed = {
    w: { shape: [3, 3], data: Float64Array.from([0.3, -0.8, 0.5, 1.1, 0.2, -0.4, -0.6, 0.9, 0.7]) },
    v: { shape: [2, 3], data: Float64Array.from([0.4, -0.7, 1.3, -0.2, 0.8, 0.1]) },
  };
  const twice: Record<string, (h: Tensor) => Tensor> = {
    geluTanh: g.geluTanh,
    gelu: g.gelu,
    silu: g.silu,
    tanh: g.tanh,
    softmax: g.softmax,
    layerNorm: (h) => g.layerNorm(h, 1e-2),
    attention: (h) =>
      g.attention(g.reshape(h, [1, 1, 2, 3]), g.reshape(g.mul(h, 2), [1, 1, 2, 3]), g.reshape(h, [1, 1, 2, 3]), 0.5),
  };

  test.each(Object.keys(twice))("the squared gradient of a linear layer with %s has the right gradient", (name) => {
    const y = twice[name]!(g.linear(v, w));
    const [dv] = gradient(g.sum(g.mul(y, g.mul(y, y))), [v]) as [Tensor];
    const penalty = g.sum(g.mul(dv, dv));
    const [dw] = gradient(penalty, [w]) as [Tensor];
    const expected = centralDifferences(penalty, fed, "w");
    const largest = Math.max(...expected.map(Math.abs));
    expect(largest).toBeGreaterThan(1e-3);
    numbers(dw, fed).forEach((value, i) => {
      expect(Math.abs(value - expected[i]!), `${value} for ${expected[i]}`).toBeLessThan(1e-6 * largest);
    });
  });

  test.each(["conv2dInputGradient", "conv2dWeightGradient"] as const)("of %s are refused", (op) => {
    const image = g.input("image", [1, 1, 3, 3]);
    const attributes = { stride: 1, padding: [0, 0], inputSize: [3, 3], kernelSize: [1, 1] } as const;
    const operands = op === "conv2dInputGradient" ? [image, g.parameter("k", [1, 1, 1, 1])] : [image, image];
    const y = apply(op, operands, attributes).outputs[0]!;
    expect(() => gradient(g.sum(y), [image])).toThrow(/second derivatives/);
  });

  test.each([g.maxPool2d, g.averagePool2d])("windows that overlap are refused by the gradient of %o", (pool) => {
    const image = g.input("image", [1, 1, 6, 6]);
    expect(() => gradient(g.sum(pool(image, 3, 2)), [image])).toThrow(/windows that tile/);
  });
});
