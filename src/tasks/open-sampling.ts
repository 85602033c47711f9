/** A model opened for sampling, with all that its images depend on: for every task that samples. */
import { basename, dirname } from "node:path";
import type { Process } from "../diffusion/process.ts";
import type { Engine } from "../engine/engine.ts";
import { type RunBlock, runOnly } from "../nn/run-block.ts";
import { parseKept } from "../pruning/keep-blocks.ts";
import type { SamplingSettings } from "../sampling/sampling-settings.ts";
import type { OpenedModel } from "../weights/model-file.ts";
import { type Decoder, decoderSettings, openDecoder } from "./decoder-settings.ts";
import { fileModelSettings, openNamedModel, parameterCount } from "./model-settings.ts";
import { chosenClasses, chosenSampling, classSettings, samplingSettings } from "./sampling-settings.ts";
import type { SettingTable, Values } from "./settings.ts";
import { chosenProcess, engineSettings, samplingProcessSettings, seedSetting } from "./shared-settings.ts";
import type { TaskContext } from "./task.ts";

/** Images sampled together. */
const BATCH = 32;
/** … by models that need the memory for themselves. */
const LARGE_BATCH = 4;
const LARGE_PARAMETERS = 1e8;

export const modelSamplingSettings = {
  ...classSettings,
  ...decoderSettings,
  batch: { kind: "integer", min: 1, help: `images sampled together [${BATCH}; large models: ${LARGE_BATCH}]` },
  ...samplingSettings,
  blocks: { kind: "text", help: "blocks to run, as 0,2,5 [all]" },
  seed: seedSetting,
  ...engineSettings,
  ...fileModelSettings,
  ...samplingProcessSettings,
} as const satisfies SettingTable;

type SamplingValues = Values<typeof modelSamplingSettings> & { readonly count?: number | undefined };

export interface ModelSampling {
  readonly file: OpenedModel;
  /** Whether its weights leave less memory for images. */
  readonly isLarge: boolean;
  readonly classes: readonly number[];
  /** The blocks that run, if not all of them. */
  readonly blocks: readonly number[] | undefined;
  readonly process: Process;
  readonly sampling: SamplingSettings;
  /** Of a model of latents, if one was set. */
  readonly decoder: Decoder | undefined;
  /** What every sampler is asked for. */
  readonly request: SamplingSettings & {
    readonly model: OpenedModel["model"];
    readonly weights: OpenedModel["tensors"];
    readonly process: Process;
    readonly seed: number;
    readonly internalBatch: number;
    readonly runBlock?: RunBlock;
  };
}

/**
 * Opens a model and checks its settings, before any time is spent.
 * @throws InputError for a file that is no model, or settings that do not fit it.
 */
export async function openSampling(
  path: string,
  values: SamplingValues,
  { note, given }: TaskContext,
  engine: Engine,
): Promise<ModelSampling> {
  const file = await openNamedModel(path, values, note);
  const { model, tensors } = file;
  const classes = chosenClasses(values, model.config.numClasses, given, file.classNames);
  const blocks = values.blocks === undefined ? undefined : parseKept(values.blocks, model.config.depth);
  const process = chosenProcess(values, model, file);
  const sampling = chosenSampling(values, process, model.config, note);
  const isLarge = parameterCount(tensors.values()) >= LARGE_PARAMETERS;
  const internalBatch = batchOf(values, note) ?? (isLarge ? LARGE_BATCH : BATCH);
  const decoder = await openDecoder(values, model.config, engine, note);
  return {
    file,
    isLarge,
    classes,
    blocks,
    process,
    sampling,
    decoder,
    request: {
      model,
      weights: tensors,
      process,
      seed: values.seed,
      internalBatch,
      ...sampling,
      ...(blocks && { runBlock: runOnly(blocks) }),
    },
  };
}

/** A batch of more images than there are would waste time and memory. */
function batchOf({ batch, count }: SamplingValues, note: (line: string) => void): number | undefined {
  if (batch === undefined || count === undefined || batch <= Math.max(2, count)) return batch;
  note(`\`batch\` ${batch} is cut to the ${count} image${count === 1 ? "" : "s"} of this run`);
  return count;
}

/** What `samples.json` and `generate.json` record of the model and its decoder. */
export async function samplingRecord(
  { file, process, blocks, decoder }: ModelSampling,
  { vae, tiled }: Pick<SamplingValues, "vae" | "tiled">,
) {
  const { path, sha256, weights, images, prunings, model } = file;
  return {
    modelFile: { path, sha256, weights, images, prunings, config: model.config },
    process,
    ...(blocks && { kept: blocks }),
    ...(decoder && { decoder: { path: vae, sha256: await decoder.sha256(), tiled } }),
  };
}

/** `runs/teacher/checkpoints/step-00002000/ema.safetensors` → `teacher-step-00002000-ema`; else the file's or folder's own name. */
export function modelName(path: string): string {
  const name = basename(path).replace(/(\.safetensors|\.safetensors\.index\.json|\.pt|\.pth|\.ckpt|\.bin|\.npz)$/, "");
  const checkpoint = basename(dirname(path));
  return checkpoint.startsWith("step-") ? `${basename(dirname(dirname(dirname(path))))}-${checkpoint}-${name}` : name;
}
