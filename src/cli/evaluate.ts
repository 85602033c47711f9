/** `tinyfusion evaluate`: all metrics of images against real ones, with errors, warnings and a report. */
import { evaluate, evaluateSettings } from "../tasks/evaluate.ts";
import { command, STOPPED, taskSettings, unlessStopped } from "./command.ts";
import { scoreLines } from "./result-lines.ts";

const { input: _, ...options } = evaluateSettings;

export const evaluateCommand = command({
  name: "evaluate",
  summary:
    "Score images, or a model that samples them: FID, sFID, Inception Score, precision, recall, kernel distance.",
  argument: "<images|model|run>",
  options: { ...options, json: { kind: "flag", help: "evaluation.json as output" } },
  examples: [
    "tinyfusion evaluate models/digits/teacher.safetensors --count 2000",
    "tinyfusion evaluate generated/teacher --out evaluations/teacher",
    "tinyfusion evaluate samples.npz --reference VIRTUAL_imagenet256_labeled.npz --inception-weights pt_inception-2015-12-05-6726825d.pth",
    "tinyfusion evaluate runs/recovery --cfg 1.5 --steps 250 --sampler ddpm --count 10000 --quick --json",
  ],
  async run({ json, ...values }, context, input) {
    const work = () => evaluate(taskSettings("evaluate", values, context, { input }));
    const result = await unlessStopped(
      context,
      work,
      "stopped; finished features and images stay, the same command resumes",
    );
    if (!result) return STOPPED;
    const { evaluation, record, files } = result;
    if (json) context.print(JSON.stringify(record, null, 2));
    else for (const line of [...scoreLines(evaluation), files.report]) context.print(line);
    return 0;
  },
});
