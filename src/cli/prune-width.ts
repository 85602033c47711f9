/** `tinyfusion prune-width`. */
import { type PruneWidthPlan, planPruneWidth, pruneWidth, pruneWidthSettings } from "../tasks/prune/prune-width.ts";
import { command, dryRunFlag } from "./command.ts";
import { grouped, tableLines } from "./table.ts";

export const pruneWidthCommand = command({
  name: "prune-width",
  summary: "Remove heads and MLP channels of every block by importance (Diff-Pruning).",
  settings: pruneWidthSettings,
  positional: ["file"],
  flags: dryRunFlag,
  examples: [
    "tinyfusion prune-width models/digits/teacher.safetensors --heads 0.5 --mlp 0.5 --out runs/half-width",
    "tinyfusion prune-width models/digits/sit-teacher.safetensors --criterion magnitude --out runs/half-width-sit",
    "tinyfusion prune-width DiT-XL-2-256x256.pt --model DiT-XL/2 --dry-run",
  ],
  async run(settings, { dryRun }) {
    if (dryRun) return costLines(await planPruneWidth(settings));
    const result = await pruneWidth(settings);
    const { losses } = result.decision;
    const used = losses.filter((step) => step.used).length;
    return [
      ...costLines(result),
      ...(losses.length > 0 ? [`gradients of ${used} of ${losses.length} timesteps were summed`] : []),
      result.pruned,
    ];
  },
});

/** Widths, parameters and arithmetic before and after. */
function costLines({ before, after }: PruneWidthPlan): string[] {
  const rows = Object.entries({ before, after }).map(([name, { heads, channels, parameters, macs }]) => {
    return [name, `${heads}`, `${channels}`, grouped(parameters), (macs / 1e9).toPrecision(4)];
  });
  return tableLines([["", "heads", "MLP channels", "parameters", "GMACs an evaluation"], ...rows], [1, 2, 3, 4]);
}
