/** The block numbers that a pruned model keeps: checked once, wherever they come from. */
import { InputError } from "../array/input-error.ts";

/** @throws InputError unless these are block numbers of a model of `depth` blocks, ascending and each once. */
export function requireKept(kept: readonly number[], depth: number): void {
  const isNumber = (block: number) => Number.isInteger(block) && block >= 0 && block < depth;
  const isAscending = kept.every((block, i) => i === 0 || block > kept[i - 1]!);
  if (kept.every(isNumber) && isAscending) return;
  throw new InputError(
    `kept blocks [${kept.join(", ")}]: expected ascending block numbers from 0 to ${depth - 1}, each once`,
  );
}
