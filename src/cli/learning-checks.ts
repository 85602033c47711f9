/** Settings of learning that are no mistake in themselves, but leave a run without what a person expects of it. */

import { SettingError, type Values } from "../tasks/settings.ts";
import type { optimizerSettings } from "../tasks/shared-settings.ts";
import type { CommandContext } from "./command.ts";

type Learning = Pick<
  Values<typeof optimizerSettings>,
  "steps" | "learningRate" | "lrSchedule" | "finalLr" | "warmupSteps" | "emaDecay" | "emaWarmup"
>;

/** Notes what may surprise. @throws SettingError for settings of which one makes another mean nothing. */
export function checkLearning(values: Learning, { given, note }: Pick<CommandContext, "given" | "note">): void {
  const { steps, learningRate, lrSchedule, finalLr, warmupSteps, emaDecay, emaWarmup } = values;
  if (emaDecay === 1 && emaWarmup === "none") {
    throw new SettingError(
      "--ema-decay 1 and --ema-warmup none exclude each other: the average would stay at the start; give less than 1, or 0 for no average",
    );
  }
  if (given.has("finalLr") && lrSchedule === "constant")
    throw new SettingError(
      "--final-lr and --lr-schedule constant exclude each other: only cosine ends at another rate",
    );
  if (learningRate === 0) note("--learning-rate 0 changes no weights");
  else if (lrSchedule === "cosine" && finalLr > learningRate)
    note(`the learning rate rises, from ${learningRate} to --final-lr ${finalLr}`);
  if (given.has("warmupSteps") && warmupSteps >= steps)
    note(`--warmup-steps ${warmupSteps} is not over after --steps ${steps}: the learning rate never reaches its peak`);
}
