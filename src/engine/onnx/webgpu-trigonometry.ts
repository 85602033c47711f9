/**
 * Sine and cosine from additions and products. A shader's own are allowed to be off by 2⁻¹¹ and only within [−π, π]
 * (WGSL, "Accuracy of floating point expressions"), while timestep embeddings take angles up to 1000.
 */
import { float32 } from "../../array/ndarray.ts";
import type { Emitter } from "./emitter.ts";

/**
 * π as a sum of three numbers (Cody and Waite, "Software Manual for the Elementary Functions", 1980). The first two have
 * 11 bits or fewer, so their products with a whole or half number below 2¹² are exact in float32.
 */
const pi1 = 201 / 64;
const pi2 = Math.round((Math.PI - pi1) * 2 ** 21) / 2 ** 21;
const pi3 = Math.PI - pi1 - pi2;

/** sin r = r · (1 − r²/3! + r⁴/5! − …), within 6e-8 for |r| ≤ π/2: the factor's coefficients, highest power first. */
const taylor = [-1 / 39916800, 1 / 362880, -1 / 5040, 1 / 120, -1 / 6, 1];

/** x = (k + offset)·π + r with |r| ≤ π/2: then sin x = (−1)ᵏ sin r for offset 0, and cos x = −(−1)ᵏ sin r for ½. */
function sine(e: Emitter, x: string, offset: 0 | 0.5): string {
  const number = (value: number) => e.constant(float32([value], []));
  const binary = (opType: "Add" | "Sub" | "Mul") => (a: string, b: string | number) =>
    e.node(opType, [a, typeof b === "number" ? number(b) : b]);
  const [add, sub, mul] = [binary("Add"), binary("Sub"), binary("Mul")];
  const floor = (a: string) => e.node("Floor", [a]);
  const turns = mul(x, 1 / Math.PI);
  const k = floor(offset === 0 ? add(turns, 0.5) : turns);
  const whole = offset === 0 ? k : add(k, offset);
  const r = [pi1, pi2, pi3].reduce((rest, part) => sub(rest, mul(whole, part)), x);
  const square = mul(r, r);
  const factor = taylor.slice(2).reduce((sum, c) => add(mul(sum, square), c), add(mul(square, taylor[0]!), taylor[1]!));
  const odd = sub(k, mul(floor(mul(k, 0.5)), 2)); // 0 or 1
  const sign = offset === 0 ? add(mul(odd, -2), 1) : sub(mul(odd, 2), 1);
  return mul(mul(sign, r), factor);
}

export const sinOf = (e: Emitter, x: string): string => sine(e, x, 0);
export const cosOf = (e: Emitter, x: string): string => sine(e, x, 0.5);
