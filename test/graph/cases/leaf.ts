/** What operation cases are fed: deterministic numbers under shapes that may hold symbols. */
import { permutation, type RandomKey, uniforms } from "../../../src/array/random.ts";
import { type Dim, type Shape, symbolicDim } from "../../../src/graph/dim.ts";
import type { GraphDType } from "../../../src/graph/op.ts";

/** Values of the symbols in one run. */
export type Sizes = Readonly<Record<string, number>>;

/** A fed tensor: a name comes from the case that holds it. */
export interface Leaf {
  readonly kind: "input" | "parameter";
  readonly dtype: GraphDType;
  readonly shape: Shape;
  values(name: string, count: number, sizes: Sizes): ArrayLike<number>;
}

/** The batch size of the cases. */
export const N = symbolicDim("N");

const keyFor = (name: string): RandomKey => ({ seed: 5, purpose: `case ${name}`, step: 0, index: 0 });
const draw = (name: string, count: number): number[] => Array.from(uniforms(keyFor(name), count));

const floats = (shape: Shape, from: (u: number) => number): Leaf => ({
  kind: "input",
  dtype: "float32",
  shape,
  values: (name, count) => draw(name, count).map(from),
});

/** Uniform numbers in [−2, 2). */
export const real = (...shape: Dim[]): Leaf => floats(shape, (u) => 4 * u - 2);
/** Uniform numbers in [−9, 9): where functions saturate. */
export const wide = (...shape: Dim[]): Leaf => floats(shape, (u) => 18 * u - 9);
/** Uniform numbers in [½, 2). */
export const positive = (...shape: Dim[]): Leaf => floats(shape, (u) => 0.5 + 1.5 * u);
/** Numbers of both signs, at least ½ from zero. */
export const nonzero = (...shape: Dim[]): Leaf => floats(shape, (u) => (u < 0.5 ? -0.5 - 3 * u : 3 * u - 1));

/** Multiples of ¼ plus `offset`, each once, in random order: no two are close. */
export const distinct = (shape: Shape, offset = 0): Leaf => ({
  kind: "input",
  dtype: "float32",
  shape,
  values: (name, count) =>
    Array.from(permutation(keyFor(name), count), (i) => (i - Math.floor(count / 2)) / 4 + offset),
});

/** Integers in [0, bound). */
export const integers = (shape: Shape, bound: number): Leaf => ({
  kind: "input",
  dtype: "int32",
  shape,
  values: (name, count) => draw(name, count).map((u) => Math.floor(u * bound)),
});

/** 32-bit words of all signs. */
export const integerWords = (...shape: Dim[]): Leaf => ({
  kind: "input",
  dtype: "int32",
  shape,
  values: (name, count) => draw(name, count).map((u) => Math.imul(u * 2 ** 24, 0x9e3779b1)),
});

export const booleans = (...shape: Dim[]): Leaf => ({
  kind: "input",
  dtype: "bool",
  shape,
  values: (name, count) => draw(name, count).map((u) => Number(u < 0.5)),
});

export const weight = (...shape: number[]): Leaf => ({ ...real(...shape), kind: "parameter" });

/** A random split of N rows into K kept and D dropped ones: the three index inputs. */
export function routeLeaves(): { kept: Leaf; dropped: Leaf; inverse: Leaf } {
  const split = ({ N: rows = 0, K: kept = 0 }: Sizes) => {
    const order = Array.from(permutation(keyFor("routes"), rows));
    return { kept: order.slice(0, kept), dropped: order.slice(kept) };
  };
  const places = (sizes: Sizes): number[] => {
    const { kept, dropped } = split(sizes);
    const order = [...kept, ...dropped];
    return order.map((_, row) => order.indexOf(row));
  };
  const index = (dim: Dim, values: (sizes: Sizes) => number[]): Leaf => {
    return { kind: "input", dtype: "int32", shape: [dim], values: (_name, _count, sizes) => values(sizes) };
  };
  return {
    kept: index(symbolicDim("K"), (sizes) => split(sizes).kept),
    dropped: index(symbolicDim("D"), (sizes) => split(sizes).dropped),
    inverse: index(N, places),
  };
}

/** The sizes under which routed cases run: mixed rows, all kept, none kept, no rows. */
export const routedSizes: readonly Sizes[] = [
  { N: 5, K: 3, D: 2 },
  { N: 4, K: 4, D: 0 },
  { N: 4, K: 0, D: 4 },
  { N: 0, K: 0, D: 0 },
];
