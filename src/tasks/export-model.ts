/** Exports a model file as ONNX files that run without tinyfusion, and what is needed to sample with them. */
import { type Exported, exportModel as writeExport } from "../export/export-model.ts";
import { exportProviders } from "../export/lowerings.ts";
import { exportDtypes } from "../export/stored-weights.ts";
import type { Model } from "../models/registry.ts";
import type { SamplingPrecision } from "../sampling/sampling-settings.ts";
import { decoderSettings, loadDecoder } from "./decoder-settings.ts";
import { fileModelSettings, openNamedModel } from "./model-settings.ts";
import { chosenSampling, samplingSettings } from "./sampling-settings.ts";
import { required, resolveValues, SettingError, type SettingTable } from "./settings.ts";
import { chosenProcess, engineSettings, samplingProcessSettings } from "./shared-settings.ts";
import { startTask, type TaskSettings } from "./task.ts";
import { versions } from "./version.ts";

/** Those that the exported functions can serve. */
const { steps, sampler, precision, cfg, cfgChannels, cfgSchedule, eta, clip, headSteps, temperature } =
  samplingSettings;

export const exportSettings = {
  file: { kind: "weights", help: "model" },
  out: { kind: "folder", help: "folder that is made; an existing one must be empty" },
  guidance: { kind: "flag", help: "classifier-free guidance in the file, with input cfgScale" },
  dtype: { kind: "choice", choices: exportDtypes, fallback: "float32", help: "precision of the stored weights" },
  precision: { ...precision, help: "linear layers of blocks, and how those are stored [float32]" },
  batch: { kind: "text", fallback: "dynamic", help: "images of a run: a number, or dynamic for any" },
  vae: {
    ...decoderSettings.vae,
    help: "autoencoder whose decoder is exported too: file or folder",
  },
  external: { kind: "flag", help: "weights in a second file [only above 1.8 GB]" },
  provider: {
    kind: "choice",
    choices: exportProviders,
    fallback: "webgpu",
    help: "operators: portable ones for webgpu, fastest ones for cpu",
  },
  steps,
  sampler,
  cfg,
  cfgChannels,
  cfgSchedule,
  eta,
  clip,
  headSteps,
  temperature,
  ...engineSettings,
  ...fileModelSettings,
  ...samplingProcessSettings,
} as const satisfies SettingTable;

export interface ExportResult extends Exported {
  readonly out: string;
  readonly model: Model;
  readonly dtype: (typeof exportDtypes)[number];
  readonly precision: SamplingPrecision;
}

/**
 * Writes a model as ONNX files with `pipeline.json`, checked against our own session.
 * @throws SettingError, InputError for settings, a model or a folder that do not fit; the signal's reason.
 */
export async function exportModel(settings: TaskSettings<typeof exportSettings>): Promise<ExportResult> {
  const { values, context } = await startTask(exportSettings, settings);
  const out = required("out", values.out);
  const batch = batchOf(values.batch);
  const file = await openNamedModel(required("file", values.file), values, context.note);
  const { model } = file;
  const process = chosenProcess(values, model, file);
  const given = { ...resolveValues(samplingSettings, {}), ...values };
  const sampling = chosenSampling(given, process, model.config, context.note);
  const vae =
    values.vae === undefined ? undefined : await loadDecoder(values.vae, model.config.inChannels, context.note);
  const { guidance, dtype, precision = "float32", provider, external } = values;
  const exported = await writeExport({
    file,
    process,
    sampling,
    out,
    batch,
    guidance,
    dtype,
    precision,
    provider,
    external,
    ...(vae && { vae }),
    engine: context.engine(),
    versions: versions(),
    signal: context.signal,
    onStage: context.note,
  });
  return { ...exported, out, model, dtype, precision };
}

/** @throws SettingError for anything but a positive number or `dynamic`. */
function batchOf(text: string): number | undefined {
  if (text === "dynamic") return undefined;
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new SettingError(`\`batch\` expects a whole number from 1 to 999999 or dynamic, got ${text}`);
}
