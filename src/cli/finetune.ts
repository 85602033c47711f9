/** `tinyfusion finetune`. */
import { finetune, finetuneSettings, planFinetune } from "../tasks/finetune.ts";
import { command } from "./command.ts";
import { dryRunOption, runTrainingCommand } from "./training-command.ts";

const { student: _, ...options } = finetuneSettings;

export const finetuneCommand = command({
  name: "finetune",
  summary: "Recover a pruned model by fine-tuning, with masked knowledge distillation by default.",
  argument: "<student>",
  options: { ...options, ...dryRunOption },
  examples: [
    "tinyfusion finetune runs/mask/pruned.safetensors --teacher models/digits/teacher.safetensors --steps 400 --out runs/shallow",
    "tinyfusion finetune runs/mask/pruned.safetensors --distill none --steps 400 --out runs/plain",
  ],
  run: (values, context, student) =>
    runTrainingCommand(
      { name: "finetune", run: finetune, plan: planFinetune, lines: ({ ema }) => [ema] },
      values,
      context,
      { student },
    ),
});
