/** Exporting a model: ONNX files and `pipeline.json` in a folder that appears whole or not at all. */
import { join } from "node:path";
import { InputError } from "../array/input-error.ts";
import type { LoadedAutoencoder } from "../data/autoencoder/autoencoder.ts";
import type { Process } from "../diffusion/process.ts";
import type { Engine, Weight } from "../engine/engine.ts";
import { int8Engine, int8Graph } from "../engine/int8-engine.ts";
import type { WeightFilter } from "../graph/precision.ts";
import { guidanceFor, requireNullClass } from "../models/family.ts";
import { int8Layers } from "../models/int8-layers.ts";
import type { MarConfig } from "../models/mar/config.ts";
import type { Model } from "../models/registry.ts";
import { guidedChannels, type SamplingPrecision, type SamplingSettings } from "../sampling/sampling-settings.ts";
import { publishDirectory, remove, temporaryFolder, writeAtomically } from "../storage/atomic-write.ts";
import { sha256Of } from "../storage/checksums.ts";
import { fileBytes, listFolder } from "../storage/read.ts";
import type { ModelFile } from "../weights/model-file.ts";
import { requireNewFolder } from "../weights/output-files.ts";
import { checkPart } from "./check.ts";
import { decoderPart } from "./decoder-part.ts";
import { denoiserPart, type PartSettings } from "./denoiser-part.ts";
import { type ExportProvider, exportLowerings } from "./lowerings.ts";
import type { Part } from "./part.ts";
import { describePipeline, type PipelineFile } from "./pipeline.ts";
import { samplingDefaults } from "./sampling-defaults.ts";
import type { ExportDtype } from "./stored-weights.ts";
import { conditionPart, tokenDenoiserPart } from "./token-parts.ts";
import { type WrittenPart, writePart } from "./write-part.ts";

export interface ExportRequest {
  readonly engine: Engine;
  readonly file: Pick<ModelFile, "model" | "tensors" | "weights" | "prunings" | "images" | "sha256">;
  readonly process: Process;
  readonly vae?: Pick<LoadedAutoencoder, "config" | "weights">;
  /** A folder that is not there yet, or empty. */
  readonly out: string;
  /** What `pipeline.json` proposes; the guided channels are part of the files. */
  readonly sampling: SamplingSettings;
  readonly batch: number | undefined;
  readonly guidance: boolean;
  /** Of the stored weights, but for those of layers in int8. */
  readonly dtype: ExportDtype;
  /** In which the linear layers of blocks are computed. */
  readonly precision: SamplingPrecision;
  readonly provider: ExportProvider;
  readonly external: boolean;
  readonly versions: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Told what is done next. */
  readonly onStage?: (text: string) => void;
}

export interface Exported {
  readonly files: readonly PipelineFile[];
  /** Largest difference to our own session, by file. */
  readonly checked: Readonly<Record<string, number>>;
}

/**
 * Writes, checks and publishes all files of a model.
 * @throws InputError for settings that do not fit, a folder that is in use, or files that compute something else; the
 * signal's reason if aborted. Nothing is left of what was begun.
 */
export async function exportModel(request: ExportRequest): Promise<Exported> {
  const { file, process, vae, out, guidance, batch } = request;
  requireNewFolder(out);
  const { config } = file.model;
  if (guidance) requireNullClass(config, "guidance inside the file", "leave it out");
  const sampling = samplingDefaults(file.model, process, guidanceFor(config, request.sampling));
  const cfgChannels = guidedChannels(request.sampling.cfgChannels, config.inChannels);
  const settings: PartSettings = { batch, guidance, cfgChannels };
  const parts = partsOf(request, settings);
  const folder = temporaryFolder(out);
  try {
    const written: Record<string, WrittenPart> = {};
    const checked: Record<string, number> = {};
    for (const part of parts) {
      const { name } = part.part;
      written[name] = await stage(request, `writing ${name}.onnx`, () => writtenPart(folder, part, request));
      checked[`${name}.onnx`] = await stage(request, `checking ${name}.onnx`, () => checkedPart(folder, part, request));
    }
    const files = await stage(request, "computing checksums", () => filesOf(folder));
    const { "vae-decoder": decoder, ...functions } = written;
    const pipeline = describePipeline({
      file,
      process,
      sampling,
      files,
      checked,
      versions: request.versions,
      parts: functions,
      settings: { ...settings, dtype: request.dtype, precision: request.precision, provider: request.provider },
      vae: vae && decoder && { config: vae.config, written: decoder },
    });
    await writeAtomically(join(folder, "pipeline.json"), `${JSON.stringify(pipeline, null, 1)}\n`);
    request.signal?.throwIfAborted();
    await publishDirectory(folder, out);
    return { files, checked };
  } catch (error) {
    remove(folder);
    throw error;
  }
}

function stage<T>({ signal, onStage }: ExportRequest, text: string, work: () => Promise<T>): Promise<T> {
  signal?.throwIfAborted();
  onStage?.(text);
  return work();
}

interface WeightedPart {
  readonly part: Part;
  readonly weights: ReadonlyMap<string, Weight>;
  /** Layers in int8, if there are any. */
  readonly layers?: WeightFilter | undefined;
}

function writtenPart(folder: string, { part, weights, layers }: WeightedPart, request: ExportRequest) {
  const settings = { ...request, lowering: exportLowerings[request.provider] };
  if (!layers) return writePart(folder, part, weights, settings);
  const { graph, kept, quantized } = int8Graph(part.graph, weights, layers);
  return writePart(folder, { ...part, graph }, new Map([...kept, ...quantized]), settings);
}

function checkedPart(folder: string, { part, weights, layers }: WeightedPart, { engine, dtype }: ExportRequest) {
  if (!layers) return checkPart(folder, part, weights, { engine, dtype });
  return checkPart(folder, part, weights, { engine: int8Engine(engine, layers), dtype: "int8" });
}

/** @throws InputError for an autoencoder of other latents. */
function partsOf({ file, process, vae, batch, precision }: ExportRequest, settings: PartSettings): WeightedPart[] {
  const { inChannels, inputSize } = file.model.config;
  const layers = precision === "int8" ? int8Layers(file.model) : undefined;
  const own = functionsOf(file.model, process, settings).map((part) => ({ part, weights: file.tensors, layers }));
  if (!vae) return own;
  const { latentChannels } = vae.config;
  if (latentChannels === inChannels)
    return [...own, { part: decoderPart(vae.config, inputSize, batch), weights: vae.weights }];
  throw new InputError(
    `\`vae\`: expected an autoencoder of the model's ${inChannels}-channel latents, found ${latentChannels} channels`,
  );
}

function functionsOf(model: Model, process: Process, settings: PartSettings): Part[] {
  if (process.kind !== "tokens") return [denoiserPart(model, process, settings)];
  const config = model.config as unknown as MarConfig;
  return [conditionPart(config, settings), tokenDenoiserPart(config, process, settings)];
}

async function filesOf(folder: string): Promise<PipelineFile[]> {
  const files: PipelineFile[] = [];
  for (const { name } of listFolder(folder)) {
    const source = await fileBytes(join(folder, name));
    files.push({ name, bytes: source.size, sha256: await sha256Of(source) });
  }
  return files;
}
