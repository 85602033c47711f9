/** Random numbers as pure functions of a key: nothing to seed, save or restore. */

import { float32, type NDArray, sizeOf } from "./ndarray.ts";
import { fillWords, type PhiloxStream } from "./philox.ts";

/** Names one sequence of random numbers. Two keys that differ anywhere give independent sequences. */
export interface RandomKey {
  /** The run's seed: a non-negative safe integer. */
  readonly seed: number;
  /** What the numbers are for ("noise", "timestep", …), hashed to 32 bits. */
  readonly purpose: string;
  /** Global step, or epoch: an integer below 2^32. */
  readonly step: number;
  /** Example index: an integer below 2^32. */
  readonly index: number;
}

/** FNV-1a over the UTF-8 bytes of `text`, 32 bits. */
export function hashPurpose(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/**
 * The Philox stream of a key: seed (low, high) is the Philox key; index, step and purpose are counter words 1, 2 and 3.
 * @throws RangeError if seed, step or index is not an integer in range.
 */
export function streamOf(key: RandomKey): PhiloxStream {
  requireInteger("seed", key.seed, Number.MAX_SAFE_INTEGER);
  requireInteger("step", key.step, 0xffffffff);
  requireInteger("index", key.index, 0xffffffff);
  return {
    key: [key.seed >>> 0, Math.floor(key.seed / 2 ** 32)],
    counter: [key.index, key.step, hashPurpose(key.purpose)],
  };
}

function requireInteger(field: string, value: number, max: number): void {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new RangeError(`random key: ${field} must be an integer in [0, ${max}], got ${value}`);
  }
}

const chunk = 4096;
const scratch = new Uint32Array(chunk);

/** Calls `use(words, start, count)` for consecutive pieces of the first `length` words of the stream of `key`. */
function forWords(
  key: RandomKey,
  length: number,
  use: (words: Uint32Array, start: number, count: number) => void,
): void {
  const stream = streamOf(key);
  for (let start = 0; start < length; start += chunk) {
    const count = Math.min(chunk, length - start);
    fillWords(count === chunk ? scratch : scratch.subarray(0, count), stream, start / 4);
    use(scratch, start, count);
  }
}

/** Fills `target` with multiples of 2^-24 in [0, 1): element i comes from word i. */
export function uniformsInto(target: Float32Array, key: RandomKey): void {
  forWords(key, target.length, (words, start, count) => {
    for (let i = 0; i < count; i++) target[start + i] = (words[i]! >>> 8) * 2 ** -24;
  });
}

/**
 * Fills `target` with standard normal numbers: elements 2j and 2j + 1 come from words 2j and 2j + 1.
 * Box and Muller (1958) in float64; the radius uses (word + ½) · 2^-32, which is never 0 (so |z| < 6.8).
 */
export function normalsInto(target: Float32Array, key: RandomKey): void {
  const length = target.length;
  forWords(key, length + (length % 2), (words, start, count) => {
    for (let i = 0; i < count; i += 2) {
      const radius = Math.sqrt(-2 * Math.log((words[i]! + 0.5) * 2 ** -32));
      const angle = words[i + 1]! * (2 * Math.PI * 2 ** -32);
      target[start + i] = radius * Math.cos(angle);
      target[start + i + 1] = radius * Math.sin(angle); // ignored past an odd end
    }
  });
}

/** Fills `target` with standard Gumbel numbers, −log(−log u) with u = (word + ½) · 2^-32: element i comes from word i. */
export function gumbelsInto(target: Float32Array, key: RandomKey): void {
  forWords(key, target.length, (words, start, count) => {
    for (let i = 0; i < count; i++) target[start + i] = -Math.log(-Math.log((words[i]! + 0.5) * 2 ** -32));
  });
}

/** `length` uniform numbers in [0, 1), multiples of 2^-24. A shorter draw is a prefix of a longer one. */
export function uniforms(key: RandomKey, length: number): Float32Array<ArrayBuffer> {
  const result = new Float32Array(length);
  uniformsInto(result, key);
  return result;
}

/** `length` standard normal numbers. A shorter draw is a prefix of a longer one. */
export function normals(key: RandomKey, length: number): Float32Array<ArrayBuffer> {
  const result = new Float32Array(length);
  normalsInto(result, key);
  return result;
}

/** `length` standard Gumbel numbers. A shorter draw is a prefix of a longer one. */
export function gumbels(key: RandomKey, length: number): Float32Array<ArrayBuffer> {
  const result = new Float32Array(length);
  gumbelsInto(result, key);
  return result;
}

/** An integer in [0, bound) from 53 random bits: the bias is below bound · 2^-53, and rounding never reaches `bound`. */
function below(bound: number, high: number, low: number): number {
  return Math.floor((high * 2 ** 21 + (low >>> 11)) * 2 ** -53 * bound);
}

/**
 * `length` integers in [0, bound): element i comes from words 2i and 2i + 1.
 * @throws RangeError unless `bound` is an integer in [1, 2^31].
 */
export function integers(key: RandomKey, length: number, bound: number): Int32Array<ArrayBuffer> {
  if (!Number.isInteger(bound) || bound < 1 || bound > 2 ** 31) {
    throw new RangeError(`integers: bound must be an integer in [1, 2^31], got ${bound}`);
  }
  const result = new Int32Array(length);
  forWords(key, 2 * length, (words, start, count) => {
    for (let i = 0; i < count; i += 2) result[(start + i) >>> 1] = below(bound, words[i]!, words[i + 1]!);
  });
  return result;
}

/** A uniformly random order of 0 … length − 1 (Fisher–Yates, two words an element). */
export function permutation(key: RandomKey, length: number): Int32Array<ArrayBuffer> {
  const order = new Int32Array(length);
  forWords(key, 2 * length, (words, start, count) => {
    for (let i = 0; i < count; i += 2) {
      const last = (start + i) / 2; // inside-out: element `last` joins an already shuffled prefix
      const other = below(last + 1, words[i]!, words[i + 1]!);
      order[last] = order[other]!;
      order[other] = last;
    }
  });
  return order;
}

/** Normal numbers of this shape, row n from its own key; rows without one are 0. */
export function normalRows(shape: readonly number[], keys: readonly RandomKey[]): NDArray<"float32"> {
  const values = new Float32Array(sizeOf(shape));
  const size = values.length / shape[0]!;
  keys.forEach((key, row) => {
    normalsInto(values.subarray(row * size, (row + 1) * size), key);
  });
  return float32(values, shape);
}
