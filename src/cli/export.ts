/** `tinyfusion export`. */
import { join } from "node:path";
import { largestDifference } from "../export/check.ts";
import { type ExportResult, exportModel, exportSettings } from "../tasks/export-model.ts";
import { modelText } from "../tasks/model-settings.ts";
import { SettingError } from "../tasks/settings.ts";
import { command } from "./command.ts";
import { bytesText, tableLines } from "./table.ts";

export const exportCommand = command({
  name: "export",
  summary: "Write a model as ONNX files that any ONNX Runtime runs, checked against our own session.",
  settings: exportSettings,
  positional: ["file"],
  flags: { onnx: { kind: "flag", help: "the format: ONNX files and pipeline.json" } },
  examples: [
    "tinyfusion export models/digits/teacher.safetensors --onnx --guidance --out exported/digits",
    "tinyfusion export pruned.safetensors --onnx --guidance --dtype float16 --vae hf:stabilityai/sd-vae-ft-ema --out exported/tinydit",
    "tinyfusion export models/digits/mar-teacher.safetensors --onnx --batch 4 --precision int8 --provider cpu --out exported/mar",
  ],
  async run(settings, { onnx }) {
    if (!onnx) throw new SettingError("`onnx` is required: it is the only format there is");
    return linesOf(await exportModel(settings));
  },
});

function linesOf({ out, model, dtype, precision, files, checked }: ExportResult): string[] {
  const bound = largestDifference[precision === "int8" ? precision : dtype];
  const rows = files.map(({ name, bytes }) => {
    const difference = checked[name];
    const text =
      difference === undefined ? "" : `differs from our session by ${difference.toExponential(1)} (bound ${bound})`;
    return [join(out, name), bytesText(bytes), text];
  });
  return [`${out}: ${modelText(model)}`, ...tableLines(rows, [1]), join(out, "pipeline.json")];
}
