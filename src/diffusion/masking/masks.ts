/** Which tokens of an image are masked, in training and while it is generated. N images, L tokens, B buffer tokens. */
import { InputError } from "../../array/input-error.ts";
import { int32, type NDArray } from "../../array/ndarray.ts";
import { permutation, type RandomKey, uniforms } from "../../array/random.ts";

/** A random order of an image's tokens: the first ones are masked longest, and generated last. */
export type TokenOrder = Int32Array;

/** One order for each key. */
export function tokenOrders(keys: readonly RandomKey[], tokens: number): TokenOrder[] {
  return keys.map((key) => permutation(key, tokens));
}

/**
 * What the encoder sees while the first `masked` tokens of each order are masked: the buffer 0 … B − 1, then B + l for
 * each visible token l, ascending: [N, B + L − masked].
 */
export function visiblePlaces(orders: readonly TokenOrder[], masked: number, bufferSize: number): NDArray<"int32"> {
  const rows = orders.map((order) => [
    ...Array.from({ length: bufferSize }, (_, i) => i),
    ...order
      .slice(masked)
      .sort()
      .map((token) => bufferSize + token),
  ]);
  return int32(rows.flat(), [orders.length, rows[0]!.length]);
}

/** The tokens at places `from` … `to` − 1 of each order as rows n·L + l of all tokens, ascending: [N · (to − from)]. */
export function tokenRows(orders: readonly TokenOrder[], from: number, to: number): Int32Array {
  return Int32Array.from(
    orders.flatMap((order, n) => Array.from(order.slice(from, to).sort(), (token) => n * order.length + token)),
  );
}

/** A normal distribution around `mean`, cut to [min, mean]. */
export interface MaskRatio {
  readonly mean: number;
  readonly deviation: number;
  readonly min: number;
}

/** Li et al. 2024, section 4.3. */
export const maskRatioDefaults: MaskRatio = { mean: 1, deviation: 0.25, min: 0.7 };

/** The quantile u in [0, 1) of the ratios. */
export function maskRatioAt(u: number, { mean, deviation, min }: MaskRatio = maskRatioDefaults): number {
  const lowest = normalCdf((min - mean) / deviation);
  const z = quantileBelowMean(lowest + u * (0.5 - lowest));
  return Math.max(min, mean + deviation * z);
}

/** The ratio of a global step. */
export function drawMaskRatio({ seed, step }: Pick<RandomKey, "seed" | "step">, settings?: MaskRatio): number {
  return maskRatioAt(uniforms({ seed, purpose: "mask ratio", step, index: 0 }, 1)[0]!, settings);
}

/** Masked tokens of `tokens` at a ratio: rounded up, so at least one. */
export const maskedCount = (tokens: number, ratio: number): number => Math.min(tokens, Math.ceil(tokens * ratio));

const density = (z: number): number => Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI);

/** Φ(z) = ½ + φ(z) · (z + z³/3 + z⁵/15 + …) (Marsaglia 2004, Evaluating the normal distribution). */
function normalCdf(z: number): number {
  let [term, total] = [z, 0];
  for (let odd = 3; total + term !== total; odd += 2) {
    total += term;
    term *= (z * z) / odd;
  }
  return 0.5 + total * density(z);
}

/** z ≤ 0 with Φ(z) = p, by Newton's method: Φ is convex there, so all steps from 0 are negative. */
function quantileBelowMean(p: number): number {
  let z = 0;
  for (let i = 0; i < 100; i++) {
    const step = (normalCdf(z) - p) / density(z);
    z -= step;
    if (Math.abs(step) < 1e-15) break;
  }
  return Math.min(z, 0);
}

/** How the guidance scale changes from iteration to iteration. */
export type GuidanceSchedule = "linear" | "constant";

/**
 * Tokens masked after each iteration: ⌊L · cos(π/2 · (k + 1) / iterations)⌋, but at least one fewer than before and at
 * least 1 (Chang et al. 2022, MaskGIT, section 3.3). The last iteration generates whatever is masked all the same.
 * @throws InputError if an iteration would have no token to generate.
 */
export function maskLengths(tokens: number, iterations: number): number[] {
  if (!(Number.isInteger(iterations) && iterations >= 1 && iterations <= tokens)) {
    throw new InputError(`${tokens} tokens are generated in 1 to ${tokens} iterations, got ${iterations}`);
  }
  let masked = tokens;
  return Array.from({ length: iterations }, (_, k) => {
    const wanted = Math.floor(tokens * Math.cos(((Math.PI / 2) * (k + 1)) / iterations));
    masked = Math.max(1, Math.min(masked - 1, wanted));
    return masked;
  });
}

/**
 * The guidance scale of an iteration that leaves `masked` of `tokens` tokens. `linear` rises with the fraction of tokens
 * that are not masked (Chang et al. 2023, Muse, section 2.7); since one always is, it ends just below `scale`.
 */
export function guidanceScaleAt(scale: number, schedule: GuidanceSchedule, tokens: number, masked: number): number {
  return schedule === "constant" ? scale : 1 + ((scale - 1) * (tokens - masked)) / tokens;
}
