/** Formulas written once and computed twice: with numbers on the host, with tensors in a graph. */
import { add, cos, div, exp, mul, neg, sin, sqrt, sub, tanh } from "../../graph/build.ts";
import type { Tensor } from "../../graph/tensor.ts";

/** The operations that a formula in t may use; at least one operand of each is a `T`. */
export interface Arithmetic<T> {
  add(a: T | number, b: T | number): T;
  sub(a: T | number, b: T | number): T;
  mul(a: T | number, b: T | number): T;
  div(a: T | number, b: T | number): T;
  neg(a: T): T;
  exp(a: T): T;
  sqrt(a: T): T;
  sin(a: T): T;
  cos(a: T): T;
  tanh(a: T): T;
}

export const numbers: Arithmetic<number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  neg: (a) => -a,
  exp: Math.exp,
  sqrt: Math.sqrt,
  sin: Math.sin,
  cos: Math.cos,
  tanh: Math.tanh,
};

export const tensors: Arithmetic<Tensor> = { add, sub, mul, div, neg, exp, sqrt, sin, cos, tanh };
