/** `tinyfusion train-classifier`. */
import { planTrainClassifier, trainClassifier, trainClassifierSettings } from "../tasks/train-classifier.ts";
import { command } from "./command.ts";
import { dryRunOption, runTrainingCommand } from "./training-command.ts";

export const trainClassifierCommand = command({
  name: "train-classifier",
  summary: "Train the digit classifier whose features FD-digits compares.",
  options: { ...trainClassifierSettings, ...dryRunOption },
  examples: ["tinyfusion train-classifier --out runs/classifier", "tinyfusion sample MODEL --evaluate   # uses it"],
  run: (values, context) =>
    runTrainingCommand(
      {
        name: "train-classifier",
        run: trainClassifier,
        plan: planTrainClassifier,
        lines: ({ ema, correct, total }) => [`${ema}: ${correct} of ${total} held-out digits right`],
      },
      values,
      context,
    ),
});
