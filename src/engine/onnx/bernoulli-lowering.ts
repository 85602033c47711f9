/** Random masks as ONNX nodes: Philox4x32 in 64-bit integers, the same bits as on the host. N rows, B blocks of a row. */

import { NDArray } from "../../array/ndarray.ts";
import { maskRounds, multiplier0, multiplier1, weyl0, weyl1 } from "../../array/philox.ts";
import type { Dim } from "../../graph/dim.ts";
import type { Emitter } from "./emitter.ts";
import type { LoweringRule } from "./lowering.ts";
import { typeCodes } from "./model.ts";

const drawsPerBlock = 8;

/** A block's words, each under [1, N, B] or a shape that broadcasts to it; undefined is 0. */
type Block = readonly [string, string | undefined, string | undefined, string | undefined];

interface Multipliers {
  readonly low: string;
  readonly high: string;
  /** 32, and the 32 lower bits. */
  readonly shift: string;
  readonly mask: string;
}

/** The mask of op `bernoulli`; graph/op.ts says which bits decide which element. */
export const bernoulli: LoweringRule<"bernoulli"> = (e, [key], { probability, stream, shape }) => {
  const limit = Math.round(probability * 2 ** 16);
  const { low, high, shift, mask, second, half, lowerLimit, upperLimit } = unsigned(e, {
    low: multiplier0,
    high: multiplier1,
    shift: 32,
    mask: 0xffffffff,
    second: stream,
    half: 0xffff,
    lowerLimit: limit,
    upperLimit: limit * 2 ** 16,
  });
  const length = rowLength(e, shape.slice(1));
  const start: Block = [blockNumbers(e, length), second, undefined, undefined];
  const end = philox(e, start, roundKeys(e, key!, mask), { low, high, shift, mask });
  const bits = end.flatMap((word) => [
    e.node("Less", [e.node("BitwiseAnd", [word!, half]), lowerLimit]),
    e.node("Less", [word!, upperLimit]), // the same as comparing the upper half with the lower limit
  ]);
  // Bytes move to their places before they become numbers of four bytes.
  const blocks = e.node("Transpose", [e.node("Concat", bits, { axis: 0 })], { perm: [1, 2, 0] }); // [N, B, 8]
  const rows = e.node("Slice", [e.node("Flatten", [blocks], { axis: 1 }), e.int64([0]), length, e.int64([1])]);
  return e.reshape(e.node("Cast", [rows], { to: typeCodes.float32 }), shape);
};

/** Numbers as uint64 [1] each. A stored value cannot be uint64, so one vector of int64 is cast and split. */
function unsigned<K extends string>(e: Emitter, values: Readonly<Record<K, number>>): Readonly<Record<K, string>> {
  const names = Object.keys(values) as K[];
  const vector = e.node("Cast", [e.int64(names.map((name) => values[name]))], { to: typeCodes.uint64 });
  const attributes = { axis: 0, num_outputs: names.length };
  const parts = e.emit("Split", [vector], { outputs: names.length, attributes });
  return Object.fromEntries(names.map((name, i) => [name, parts[i]!])) as Record<K, string>;
}

/** How many elements a row has: int64 [1]. */
function rowLength(e: Emitter, rest: readonly Dim[]): string {
  if (rest.every((dim) => typeof dim === "number")) return e.int64([rest.reduce((product, dim) => product * dim, 1)]);
  return e.node("ReduceProd", [e.shape(rest)]);
}

/** 0 … B − 1 as uint64 [B]. */
function blockNumbers(e: Emitter, length: string): string {
  const rounded = e.node("Add", [length, e.int64([drawsPerBlock - 1])]);
  const blocks = e.node("Squeeze", [e.node("Div", [rounded, e.int64([drawsPerBlock])])]);
  const [zero, one] = [0n, 1n].map((n) => e.constant(new NDArray("int64", [], BigInt64Array.of(n)))) as [
    string,
    string,
  ];
  return e.node("Cast", [e.node("Range", [zero, blocks, one])], { to: typeCodes.uint64 });
}

/** The two key words of every round, uint64 [1, N, 1] each: 0 and 1 of round 0, then those of round 1, … */
function roundKeys(e: Emitter, key: string, mask: string): string[] {
  const count = 2 * maskRounds;
  const steps = Array.from({ length: count }, (_, i) =>
    BigInt.asUintN(32, BigInt(i >> 1) * BigInt([weyl0, weyl1][i % 2]!)),
  );
  const added = e.constant(new NDArray("int64", [count, 1], BigInt64Array.from(steps)));
  const columns = e.node("Cast", [e.node("Transpose", [key], { perm: [1, 0] })], { to: typeCodes.int64 }); // [2, N]
  const sums = e.node("Add", [e.node("Tile", [columns, e.int64([maskRounds, 1])]), added]); // [2 · rounds, N]
  const keys = e.node("BitwiseAnd", [e.node("Cast", [sums], { to: typeCodes.uint64 }), mask]);
  const attributes = { axis: 0, num_outputs: count };
  return e.emit("Split", [e.node("Unsqueeze", [keys, e.int64([2])])], { outputs: count, attributes });
}

/** Salmon et al. 2011, section 3.3. Keys meet the upper halves first: in round 1 these are as narrow as the keys. */
function philox(e: Emitter, start: Block, keys: readonly string[], { low, high, shift, mask }: Multipliers): Block {
  const halves = (x: string | undefined, multiplier: string): readonly [string?, string?] => {
    if (x === undefined) return [];
    const product = e.node("Mul", [x, multiplier]);
    return [e.node("BitShift", [product, shift], { direction: "RIGHT" }), e.node("BitwiseAnd", [product, mask])];
  };
  const xor = (first: string, ...rest: readonly (string | undefined)[]): string =>
    rest.reduce<string>((a, b) => (b === undefined ? a : e.node("BitwiseXor", [a, b])), first);
  let block = start;
  for (let round = 0; round < maskRounds; round++) {
    const [x0, x1, x2, x3] = block;
    const [upper0, lower0] = halves(x0, low);
    const [upper2, lower2] = halves(x2, high);
    block = [xor(keys[2 * round]!, upper2, x1), lower2, xor(keys[2 * round + 1]!, upper0, x3), lower0];
  }
  return block;
}
