/** `tinyfusion evaluate`: all metrics of images against real ones, with errors, warnings and a report. */
import { evaluate, evaluateSettings } from "../tasks/evaluate.ts";
import { command } from "./command.ts";
import { scoreLines } from "./result-lines.ts";

export const evaluateCommand = command({
  name: "evaluate",
  summary:
    "Score images, or a model that samples them: FID, sFID, Inception Score, precision, recall, kernel distance.",
  settings: evaluateSettings,
  positional: ["input"],
  flags: { json: { kind: "flag", help: "evaluation.json as output" } },
  examples: [
    "tinyfusion evaluate models/digits/teacher.safetensors --count 2000",
    "tinyfusion evaluate generated/teacher --out evaluations/teacher",
    "tinyfusion evaluate samples.npz --reference VIRTUAL_imagenet256_labeled.npz --inception-weights pt_inception-2015-12-05-6726825d.pth",
    "tinyfusion evaluate runs/recovery --cfg 1.5 --steps 250 --sampler ddpm --count 10000 --quick --json",
  ],
  stopped: "stopped; finished features and images stay, the same command resumes",
  async run(settings, { json }) {
    const { evaluation, record, files } = await evaluate(settings);
    return json ? [JSON.stringify(record, null, 2)] : [...scoreLines(evaluation), files.report];
  },
});
