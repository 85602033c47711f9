/** `tinyfusion prune`: choose which blocks to keep, by learning or in another way, and write the shallow model. */

import { openNamedModel } from "../../tasks/model-settings.ts";
import { withFittingLabels } from "../../tasks/shared-settings.ts";
import { command } from "../command.ts";
import { pruneChosen } from "./chosen.ts";
import { pruneLearned } from "./learned.ts";
import { checkTogether, methodOf, pruneOptions } from "./options.ts";

export const prune = command({
  name: "prune",
  summary: "Choose which blocks to keep (learned, scored, by rule or by name) and write the shallow model.",
  argument: "<model>",
  options: pruneOptions,
  examples: [
    "tinyfusion prune models/digits/teacher.safetensors --groups 1:2 --steps 300 --out runs/mask",
    "tinyfusion prune models/digits/teacher.safetensors --method shortgpt --groups 2:4 --out runs/shortgpt",
    "tinyfusion prune models/digits/teacher.safetensors --method loss-greedy --keep 14 --calibration 64 --dry-run",
    "tinyfusion prune models/digits/teacher.safetensors --method random-median --candidates 100 --seed 1 --out runs/median",
    "tinyfusion prune models/digits/teacher.safetensors --kept 0,2,4,6,8,10,12,14,16,18,20,22,24,26 --out runs/even",
  ],
  async run(values, context, path) {
    const method = methodOf(values, context.given);
    checkTogether(method, values, context.given);
    const file = await openNamedModel(path!, values, context.note);
    if (method === "learned") return pruneLearned(file, withFittingLabels(values, file.model, context), context);
    return pruneChosen({ method, file, values, context });
  },
});
