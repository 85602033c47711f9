/** `uniform`: evenly spaced blocks. */
import type { FixedPruner } from "../scored/pruner.ts";

/** Block ⌊i · M / N⌋ of each group of M, for i = 0 … N − 1: every other block from the first, at half depth. */
export const uniform: FixedPruner = {
  needs: "nothing",
  summary: "evenly spaced blocks, from the first on",
  choose: ({ groups }) => ({
    kept: groups.flatMap(({ start, size, keep }) =>
      Array.from({ length: keep }, (_, i) => start + Math.floor((i * size) / keep)),
    ),
  }),
};
