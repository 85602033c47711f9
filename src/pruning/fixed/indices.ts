/** `indices`: the blocks that a person names. */
import { InputError } from "../../array/input-error.ts";
import type { FixedPruner } from "../scored/pruner.ts";

/** Keeps the named blocks; there are no groups and no budget. */
export const indices: FixedPruner = {
  needs: "nothing",
  summary: "the blocks of --kept",
  choose({ settings: { kept } }) {
    if (!kept) throw new InputError("method indices: expected the blocks to keep, found none; name them with --kept");
    return { kept };
  },
};
