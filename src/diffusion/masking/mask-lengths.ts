/** How generation proceeds: how many tokens stay masked after each iteration, and how strongly each is guided. */
import { InputError } from "../../array/input-error.ts";

/** How the guidance scale goes from iteration to iteration. */
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
 * The guidance scale of an iteration that leaves `masked` of `tokens` tokens. `linear` rises with the share of tokens
 * that are not masked (Chang et al. 2023, Muse, section 2.7); since one always is, it ends just below `scale`.
 */
export function guidanceScaleAt(scale: number, schedule: GuidanceSchedule, tokens: number, masked: number): number {
  return schedule === "constant" ? scale : 1 + ((scale - 1) * (tokens - masked)) / tokens;
}
