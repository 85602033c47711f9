/** `tinyfusion train-classifier`. */
import { planTrainClassifier, trainClassifier, trainClassifierSettings } from "../tasks/train-classifier.ts";
import { command, dryRunFlag } from "./command.ts";
import { finished, memoryText, planLines } from "./training-command.ts";

export const trainClassifierCommand = command({
  name: "train-classifier",
  summary: "Train the digit classifier whose features FD-digits compares.",
  settings: trainClassifierSettings,
  flags: dryRunFlag,
  examples: ["tinyfusion train-classifier --out runs/classifier", "tinyfusion sample MODEL --evaluate   # uses it"],
  async run(settings, { dryRun }, { note }) {
    if (dryRun) return planLines("train-classifier", await planTrainClassifier(settings));
    const { ema, correct, total } = finished(await trainClassifier(settings));
    note(memoryText());
    return [`${ema}: ${correct} of ${total} held-out digits right`];
  },
});
