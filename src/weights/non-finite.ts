/** Weights that are no numbers: how many are NaN or infinite, one tensor at a time. */

import type { NDArray } from "../array/ndarray.ts";

/** Elements that are not finite. */
export interface NonFinite {
  readonly nan: number;
  readonly infinite: number;
}

/** Counts over the stored bits, so that halves need not be widened. */
export function countNonFinite({ dtype, data }: NDArray): NonFinite {
  if (dtype === "float16") return countBits(data as Uint16Array, 0x7c00);
  if (dtype === "bfloat16") return countBits(data as Uint16Array, 0x7f80);
  if (dtype !== "float32" && dtype !== "float64") return { nan: 0, infinite: 0 };
  let [nan, infinite] = [0, 0];
  const values = data as Float32Array | Float64Array;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Number.isFinite(value)) continue;
    if (Number.isNaN(value)) nan++;
    else infinite++;
  }
  return { nan, infinite };
}

/** Halves whose exponent bits are all set. */
function countBits(bits: Uint16Array, exponent: number): NonFinite {
  let [nan, infinite] = [0, 0];
  for (let i = 0; i < bits.length; i++) {
    const magnitude = bits[i]! & 0x7fff;
    if (magnitude > exponent) nan++;
    else if (magnitude === exponent) infinite++;
  }
  return { nan, infinite };
}

const shown = 8;

/** `weights that are not finite: a (3 NaN), b (1 infinite)`; undefined if all are. */
export function nonFiniteText(found: ReadonlyMap<string, NonFinite>): string | undefined {
  const each = Array.from(found, ([name, { nan, infinite }]) => {
    const counts = [...(nan > 0 ? [`${nan} NaN`] : []), ...(infinite > 0 ? [`${infinite} infinite`] : [])];
    return counts.length > 0 ? `${name} (${counts.join(", ")})` : "";
  }).filter(Boolean);
  if (each.length === 0) return undefined;
  const rest = each.length > shown ? ` and ${each.length - shown} more tensors` : "";
  return `weights that are not finite: ${each.slice(0, shown).join(", ")}${rest}`;
}
