/** `tinyfusion train`. */
import { planTrain, train, trainSettings } from "../tasks/train.ts";
import { command, dryRunFlag } from "./command.ts";
import { finished, memoryText, planLines } from "./training-command.ts";

export const trainCommand = command({
  name: "train",
  summary: "Train a diffusion transformer from scratch, or continue from a model file.",
  settings: trainSettings,
  flags: dryRunFlag,
  examples: [
    "tinyfusion train --model DiT-Digits --out runs/teacher --steps 30000 --batch-size 16 --learning-rate 2e-3",
    "tinyfusion train --data photographs --size 32 --out runs/photographs   # class folders: a SiT-Pixels, 6000 steps of 8, rate 3e-3",
    "tinyfusion train --model DiT-Digits --out runs/teacher …   # the same settings again: resumes",
  ],
  async run(settings, { dryRun }, { note }) {
    if (dryRun) return planLines("train", await planTrain(settings));
    const { ema } = finished(await train(settings));
    note(memoryText());
    return [ema];
  },
});
