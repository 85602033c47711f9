/** `tinyfusion finetune`. */
import { finetune, finetuneSettings, planFinetune } from "../tasks/finetune.ts";
import { command, dryRunFlag } from "./command.ts";
import { finished, memoryText, planLines } from "./training-command.ts";

export const finetuneCommand = command({
  name: "finetune",
  summary: "Recover a pruned model by fine-tuning, with masked knowledge distillation by default.",
  settings: finetuneSettings,
  positional: ["student"],
  flags: dryRunFlag,
  examples: [
    "tinyfusion finetune runs/mask/pruned.safetensors --teacher models/digits/teacher.safetensors --steps 400 --out runs/shallow",
    "tinyfusion finetune runs/mask/pruned.safetensors --distill none --steps 400 --out runs/plain",
  ],
  async run(settings, { dryRun }, { note }) {
    if (dryRun) return planLines("finetune", await planFinetune(settings));
    const { ema } = finished(await finetune(settings));
    note(memoryText());
    return [ema];
  },
});
