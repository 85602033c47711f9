/** `flux-lite`: mean squared error between a block's input and its output. */
import { meanOfRows, noisedValues, squaredDifference } from "./block-states.ts";
import { keepHighest } from "./budget.ts";
import type { MeasuringPruner } from "./pruner.ts";

/**
 * Flux.1 Lite (Verdú and Martín 2024, model card of Freepik/flux.1-lite-8B-alpha, "Motivation"): the blocks with the
 * smallest mean squared error between input and output contribute least, and go. E[(x_{i+1} − x_i)²] over examples,
 * tokens and channels. Unlike block influence it counts how long a step is, not only how far it turns.
 */
export const fluxLite: MeasuringPruner = {
  needs: "calibration",
  summary: "mean squared difference of a block's input and output (Flux.1 Lite)",
  passes: () => 1,
  async choose(context) {
    const scores = meanOfRows(await noisedValues(context, squaredDifference));
    return { kept: keepHighest(scores, context.groups), scores };
  },
};
