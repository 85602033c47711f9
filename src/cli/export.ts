/** `tinyfusion export`: a model file as ONNX files that run without tinyfusion, and what is needed to sample with them. */
import { join } from "node:path";
import { cpuEngine } from "../engine/onnx/node-engine.ts";
import { largestDifference } from "../export/check.ts";
import { type Exported, exportModel } from "../export/export-model.ts";
import { exportProviders } from "../export/lowerings.ts";
import { exportDtypes } from "../export/stored-weights.ts";
import { decoderSettings, loadDecoder } from "../tasks/decoder-settings.ts";
import { fileModelSettings, modelText, openNamedModel } from "../tasks/model-settings.ts";
import { chosenSampling, samplingSettings } from "../tasks/sampling-settings.ts";
import { required, resolveValues, SettingError, type SettingTable, type Values } from "../tasks/settings.ts";
import { chosenProcess, samplingProcessSettings, threadsSetting } from "../tasks/shared-settings.ts";
import { versions } from "../tasks/version.ts";
import { command, STOPPED, unlessStopped } from "./command.ts";
import { bytesText, tableLines } from "./table.ts";

/** Those that the exported functions can serve. */
const { steps, sampler, cfg, cfgChannels, cfgSchedule, eta, clip, headSteps, temperature } = samplingSettings;

const options = {
  onnx: { kind: "flag", help: "the format, the only one there is: ONNX files and pipeline.json" },
  out: { kind: "folder", help: "folder that is made; an existing one must be empty" },
  guidance: { kind: "flag", help: "put classifier-free guidance into the file, with its scale as input cfgScale" },
  dtype: { kind: "choice", choices: exportDtypes, fallback: "float32", help: "precision of the stored weights" },
  batch: { kind: "text", fallback: "dynamic", help: "images of a run: a number, or dynamic for any" },
  vae: {
    ...decoderSettings.vae,
    help: "autoencoder whose decoder is exported too: a weight file, or a vae folder of diffusers",
  },
  external: { kind: "flag", help: "weights in a second file; without it only where they exceed 1.8 GB" },
  provider: {
    kind: "choice",
    choices: exportProviders,
    fallback: "webgpu",
    help: "operators for webgpu, which run everywhere, or the fastest for cpu",
  },
  ...{ steps, sampler, cfg, cfgChannels, cfgSchedule, eta, clip, headSteps, temperature },
  threads: threadsSetting,
  ...fileModelSettings,
  ...samplingProcessSettings,
} as const satisfies SettingTable;

type Options = Values<typeof options>;

export const exportCommand = command({
  name: "export",
  summary: "Write a model as ONNX files that any ONNX Runtime runs, checked against our own session.",
  argument: "<model>",
  options,
  examples: [
    "tinyfusion export models/digits/teacher.safetensors --onnx --guidance --out exported/digits",
    "tinyfusion export pruned.safetensors --onnx --guidance --dtype float16 --vae hf:stabilityai/sd-vae-ft-ema --out exported/tinydit",
    "tinyfusion export models/digits/mar-teacher.safetensors --onnx --batch 4 --provider cpu --out exported/mar",
  ],
  async run(values, context, path) {
    if (!values.onnx) throw new SettingError("--onnx is required: it is the only format there is");
    const out = required("out", values.out);
    const batch = batchOf(values.batch);
    const file = await openNamedModel(path!, values, context.note);
    const process = chosenProcess(values, file.model, file);
    const sampling = chosenSampling(
      { ...resolveValues(samplingSettings, {}), ...values },
      process,
      file.model.config,
      context.note,
    );
    const { inChannels } = file.model.config;
    const vae = values.vae === undefined ? undefined : await loadDecoder(values.vae, inChannels, context.note);
    const { guidance, dtype, provider, external } = values;
    const exported = await unlessStopped(context, () =>
      exportModel({
        ...{ file, process, sampling, out, batch, guidance, dtype, provider, external },
        ...(vae && { vae }),
        engine: cpuEngine({ threads: values.threads }),
        versions: versions(),
        signal: context.signal,
        onStage: context.note,
      }),
    );
    if (!exported) return STOPPED;
    context.print(`${out}: ${modelText(file.model)}`);
    for (const line of resultLines(exported, values)) context.print(line);
    return 0;
  },
});

/** @throws SettingError for anything but a positive number or `dynamic`. */
function batchOf(text: string): number | undefined {
  if (text === "dynamic") return undefined;
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new SettingError(`--batch expects a whole number from 1 to 999999 or dynamic, got ${text}`);
}

function resultLines({ files, checked }: Exported, { out, dtype }: Options): string[] {
  const bound = largestDifference[dtype];
  const rows = files.map(({ name, bytes }) => {
    const difference = checked[name];
    const text =
      difference === undefined ? "" : `differs from our session by ${difference.toExponential(1)} (bound ${bound})`;
    return [join(out!, name), bytesText(bytes), text];
  });
  return [...tableLines(rows, [1]), join(out!, "pipeline.json")];
}
