/** `tinyfusion train`. */
import { planTrain, train, trainSettings } from "../tasks/train.ts";
import { command } from "./command.ts";
import { dryRunOption, runTrainingCommand } from "./training-command.ts";

export const trainCommand = command({
  name: "train",
  summary: "Train a diffusion transformer from scratch, or continue from a model file.",
  options: { ...trainSettings, ...dryRunOption },
  examples: [
    "tinyfusion train --model DiT-Digits --out runs/teacher --steps 30000 --batch-size 16 --learning-rate 2e-3",
    "tinyfusion train --data photographs --size 32 --out runs/photographs   # class folders: a SiT-Pixels, 6000 steps of 8, rate 3e-3",
    "tinyfusion train --model DiT-Digits --out runs/teacher …   # the same settings again: resumes",
  ],
  run: (values, context) =>
    runTrainingCommand({ name: "train", run: train, plan: planTrain, lines: ({ ema }) => [ema] }, values, context),
});
