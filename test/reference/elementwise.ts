/** Reference rules of the operations that work element by element. */
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from "../../src/formats/float16.ts";
import { atBroadcast, type ReferenceRule, type ReferenceRules, tabulate } from "./value.ts";

type Unary =
  | "neg"
  | "exp"
  | "log"
  | "sqrt"
  | "abs"
  | "tanh"
  | "sigmoid"
  | "erf"
  | "sin"
  | "cos"
  | "relu"
  | "silu"
  | "geluTanh"
  | "gelu"
  | "cast";
type Binary = "add" | "sub" | "mul" | "div" | "maximum" | "minimum" | "less" | "equal";

const unary =
  <K extends Unary>(f: (x: number) => number): ReferenceRule<K> =>
  ([x]) => [{ shape: x!.shape, data: x!.data.map(f) }];

const binary =
  <K extends Binary>(f: (x: number, y: number, whole: boolean) => number): ReferenceRule<K> =>
  ([x, y], _, { node }) => {
    const whole = node.outputs[0]!.dtype === "int32";
    return [tabulate(joint(x!.shape, y!.shape), (i) => f(atBroadcast(x!, i), atBroadcast(y!, i), whole))];
  };

/** The shape to which all shapes broadcast. */
function joint(...shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1);
    return sizes.find((size) => size !== 1) ?? 1;
  });
}

const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));

/** 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (2n+1)!!, whose terms are all of one sign (Abramowitz and Stegun 7.1.6). */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

const casts = {
  float32: (x: number) => x,
  float64: (x: number) => x,
  int32: Math.trunc,
  int8: Math.trunc,
  uint8: Math.trunc,
  bool: (x: number) => Number(x !== 0),
  float16: (x: number) => float16ToFloat32(float32ToFloat16(Float32Array.of(x)))[0]!,
  bfloat16: (x: number) => bfloat16ToFloat32(float32ToBfloat16(Float32Array.of(x)))[0]!,
} as const;

export const elementwise: ReferenceRules<Unary | Binary | "where"> = {
  neg: unary((x) => -x),
  exp: unary(Math.exp),
  log: unary(Math.log),
  sqrt: unary(Math.sqrt),
  abs: unary(Math.abs),
  tanh: unary(Math.tanh),
  sigmoid: unary(sigmoid),
  erf: unary(erf),
  sin: unary(Math.sin),
  cos: unary(Math.cos),
  relu: unary((x) => Math.max(x, 0)),
  silu: unary((x) => x * sigmoid(x)),
  geluTanh: unary((x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))),
  gelu: unary((x) => 0.5 * x * (1 + erf(x / Math.SQRT2))),
  cast: ([x], { to }) => [{ shape: x!.shape, data: x!.data.map(casts[to]) }],
  add: binary((x, y) => x + y),
  sub: binary((x, y) => x - y),
  mul: binary((x, y) => x * y),
  div: binary((x, y, whole) => (whole ? Math.trunc(x / y) : x / y)),
  maximum: binary((x, y) => Math.max(x, y)),
  minimum: binary((x, y) => Math.min(x, y)),
  less: binary((x, y) => Number(x < y)),
  equal: binary((x, y) => Number(x === y)),
  where: ([condition, x, y]) => [
    tabulate(joint(condition!.shape, x!.shape, y!.shape), (i) =>
      atBroadcast(condition!, i) !== 0 ? atBroadcast(x!, i) : atBroadcast(y!, i),
    ),
  ],
};
