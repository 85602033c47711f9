/** `sensitivity`: how much the loss rises when one block alone is skipped. */
import { keepHighest } from "./budget.ts";
import type { MaskLoss, MeasuringPruner } from "./pruner.ts";
import { type LossOf, withLosses } from "./with-losses.ts";

/**
 * Sensitivity analysis (Han et al. 2015, arXiv 1506.02626, with a block in place of a layer's connections; "Sensitivity"
 * in TinyFusion's table 1): s_i = L(all blocks but i) − L(all blocks). The blocks of the smallest rise go, all at once.
 */
export const sensitivity: MeasuringPruner = {
  needs: "calibration",
  summary: "how much the loss rises when one block alone is skipped",
  passes: ({ model }) => model.config.depth + 1,
  choose: (context) =>
    withLosses(context, async (lossOf) => {
      const { scores, whole } = await skipScores(context.model.config.depth, lossOf);
      return { kept: keepHighest(scores, context.groups), scores, losses: [whole] };
    }),
};

/** The rise of the loss for every block [depth], and the loss with all of them. */
export async function skipScores(depth: number, lossOf: LossOf): Promise<{ scores: number[]; whole: MaskLoss }> {
  const all = Array.from({ length: depth }, (_, block) => block);
  const whole = { kept: all, loss: await lossOf(all) };
  const scores: number[] = [];
  for (const skipped of all) scores.push((await lossOf(all.filter((block) => block !== skipped))) - whole.loss);
  return { scores, whole };
}
