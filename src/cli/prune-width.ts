/** `tinyfusion prune-width`. */
import { type PruneWidthPlan, planPruneWidth, pruneWidth, pruneWidthSettings } from "../tasks/prune/prune-width.ts";
import { command, STOPPED, taskSettings, unlessStopped } from "./command.ts";
import { grouped, tableLines } from "./table.ts";
import { dryRunOption } from "./training-command.ts";

const { file: _, ...options } = pruneWidthSettings;

export const pruneWidthCommand = command({
  name: "prune-width",
  summary: "Remove heads and MLP channels of every block by importance (Diff-Pruning).",
  argument: "<model>",
  options: { ...options, ...dryRunOption },
  examples: [
    "tinyfusion prune-width models/digits/teacher.safetensors --heads 0.5 --mlp 0.5 --out runs/half-width",
    "tinyfusion prune-width models/digits/sit-teacher.safetensors --criterion magnitude --out runs/half-width-sit",
    "tinyfusion prune-width DiT-XL-2-256x256.pt --model DiT-XL/2 --dry-run",
  ],
  async run({ dryRun, ...values }, context, file) {
    const settings = taskSettings("prune-width", values, context, { file });
    if (dryRun) {
      for (const line of costLines(await planPruneWidth(settings))) context.print(line);
      return 0;
    }
    const result = await unlessStopped(context, () => pruneWidth(settings));
    if (!result) return STOPPED;
    const { losses } = result.decision;
    const used = losses.filter((step) => step.used).length;
    for (const line of costLines(result)) context.print(line);
    if (losses.length > 0) context.print(`gradients of ${used} of ${losses.length} timesteps were summed`);
    context.print(result.pruned);
    return 0;
  },
});

/** Widths, parameters and arithmetic before and after. */
function costLines({ before, after }: PruneWidthPlan): string[] {
  const rows = Object.entries({ before, after }).map(([name, { heads, channels, parameters, macs }]) => {
    return [name, `${heads}`, `${channels}`, grouped(parameters), (macs / 1e9).toPrecision(4)];
  });
  return tableLines([["", "heads", "MLP channels", "parameters", "GMACs an evaluation"], ...rows], [1, 2, 3, 4]);
}
