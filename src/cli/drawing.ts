/** What `sample` and `generate` share: which model draws, of which classes, how, and how many images at once. */
import { basename, dirname } from "node:path";
import type { Process } from "../diffusion/process.ts";
import type { RunBlock } from "../nn/run-block.ts";
import { runOnly } from "../nn/run-block.ts";
import { parseKept } from "../pruning/keep-blocks.ts";
import type { SamplingSettings } from "../sampling/image-sampler.ts";
import { decoderSettings } from "../tasks/decoder-settings.ts";
import { fileModelSettings, openNamedModel, parameterCount } from "../tasks/model-settings.ts";
import { chosenClasses, chosenSampling, classSettings, samplingSettings } from "../tasks/sampling-settings.ts";
import type { SettingTable, Values } from "../tasks/settings.ts";
import { chosenProcess, samplingProcessSettings, seedSetting, threadsSetting } from "../tasks/shared-settings.ts";
import { stacksText } from "../weights/fitting-models.ts";
import type { ModelFile, OpenedModel } from "../weights/model-file.ts";
import type { CommandContext } from "./command.ts";

/** Images of one run of the sampler. */
const BATCH = 32;
/** … of models that need the memory for themselves. */
const LARGE_BATCH = 4;
const LARGE_PARAMETERS = 1e8;

/** What is drawn, and how. */
export const drawingOptions = {
  ...classSettings,
  ...decoderSettings,
  batch: { kind: "integer", min: 1, help: `images computed together [${BATCH}; ${LARGE_BATCH} for large models]` },
  ...samplingSettings,
  kept: { kind: "text", help: "run only these blocks, as 0,2,5; numbers go on through both stacks of a MAR" },
} as const satisfies SettingTable;

/** By which model, and from which draws. */
export const drawerOptions = {
  seed: seedSetting,
  threads: threadsSetting,
  ...fileModelSettings,
  ...samplingProcessSettings,
} as const satisfies SettingTable;

type DrawingValues = Values<typeof drawingOptions & typeof drawerOptions> & { readonly count?: number | undefined };

export interface Drawing {
  readonly file: OpenedModel;
  /** Large models leave less memory for images. */
  readonly isLarge: boolean;
  readonly classes: readonly number[];
  readonly kept: readonly number[] | undefined;
  readonly process: Process;
  readonly sampling: SamplingSettings;
  /** What both commands ask a sampler for. */
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
 * Opens the model and reads the options, before any time is spent.
 * @throws InputError for a file that is no model, or options that do not fit it.
 */
export async function openDrawing(
  path: string,
  values: DrawingValues,
  { note, given }: Pick<CommandContext, "note" | "given">,
): Promise<Drawing> {
  const file = await openNamedModel(path, values, note);
  const { model, tensors } = file;
  const classes = chosenClasses(values, model.config.numClasses, given, file.classNames);
  const kept = values.kept === undefined ? undefined : parseKept(values.kept, model.config.depth);
  const process = chosenProcess(values, model, file);
  const sampling = chosenSampling(values, process, model.config, note);
  const isLarge = parameterCount(tensors.values()) >= LARGE_PARAMETERS;
  return {
    ...{ file, isLarge, classes, kept, process, sampling },
    request: {
      ...{ model, weights: tensors, process, seed: values.seed },
      internalBatch: batchOf(values, note) ?? (isLarge ? LARGE_BATCH : BATCH),
      ...sampling,
      ...(kept && { runBlock: runOnly(kept) }),
    },
  };
}

/** More images together than there are cost time and memory for nothing. */
function batchOf({ batch, count }: DrawingValues, note: (line: string) => void): number | undefined {
  if (batch === undefined || count === undefined || batch <= Math.max(2, count)) return batch;
  note(`--batch ${batch} is cut to the ${count} image${count === 1 ? "" : "s"} of this run`);
  return count;
}

/** What is noted of a model beside the images it drew. */
export const modelFacts = ({ path, sha256, weights, images, prunings, model }: ModelFile) => ({
  ...{ path, sha256, weights, images, prunings, config: model.config },
});

/** Which weights and blocks drew, in a few words. */
export function drawerText({ file: { weights, model }, kept }: Pick<Drawing, "file" | "kept">): string {
  const blocks = kept ? `${kept.length} of ${model.config.depth} blocks` : `${stacksText(model)} blocks`;
  return `${weights === "ema" ? "averaged (EMA)" : "raw"} weights, ${blocks}`;
}

/** `runs/teacher/checkpoints/step-00002000/ema.safetensors` → `teacher-step-00002000-ema`; else the file's or folder's own name. */
export function modelName(path: string): string {
  const name = basename(path).replace(/(\.safetensors|\.safetensors\.index\.json|\.pt|\.pth|\.ckpt|\.bin|\.npz)$/, "");
  const checkpoint = basename(dirname(path));
  return checkpoint.startsWith("step-") ? `${basename(dirname(dirname(dirname(path))))}-${checkpoint}-${name}` : name;
}
