/** What `evaluate` scores: existing images, or a model that samples them. */
import { basename, dirname, join } from "node:path";
import { InputError } from "../array/input-error.ts";
import { imageFormat } from "../data/images/decode-image.ts";
import type { ImageSet } from "../data/images/image-set.ts";
import type { Engine } from "../engine/engine.ts";
import { headLength } from "../evaluation/images/folder-images.ts";
import { openImageSet } from "../evaluation/images/open-image-set.ts";
import { holdsStatistics } from "../evaluation/reference/reference-file.ts";
import { kindOfFile } from "../formats/file-kind.ts";
import { openNpz } from "../formats/npz.ts";
import { exists, fileBytes, isFolder, readJson } from "../storage/read.ts";
import { imageSide } from "./decoder-settings.ts";
import { type ModelSampling, modelName, openSampling } from "./open-sampling.ts";
import { isRun, latestWeights, weightsIn } from "./run-weights.ts";
import type { TaskContext } from "./task.ts";

/** Size and name of images are known before they are sampled, so that none are sampled in vain. */
export type EvaluateInput = { readonly name: string; readonly height: number; readonly width: number } & (
  | { readonly kind: "images"; readonly images: ImageSet }
  | { readonly kind: "model"; readonly model: ModelSampling }
);

type SamplingValues = Parameters<typeof openSampling>[1] & { readonly size?: number | undefined };

/**
 * Opens images, or a model that will sample into `folder`.
 * @throws InputError for a run without a finished checkpoint, a file that cannot be read, or settings that do not fit.
 */
export async function openInput(
  path: string,
  folder: string,
  values: SamplingValues,
  context: TaskContext,
  engine: Engine,
): Promise<EvaluateInput> {
  const found = await kindAt(path);
  if (found.kind === "images") {
    const images = await openImageSet(path, values.size);
    return { kind: "images", images, name: images.name, height: images.height, width: images.width };
  }
  const model = await openSampling(found.path, values, context, engine);
  const side = imageSide("evaluate", model.file, model.decoder);
  return { kind: "model", model, name: folder, height: side, width: side };
}

async function kindAt(path: string): Promise<{ kind: "images" | "model"; path: string }> {
  if (isFolder(path)) {
    if (isRun(path)) return { kind: "model", path: latestWeights(path) };
    if (weightsIn(path) !== path) return { kind: "model", path: weightsIn(path) };
    const isDiffusers = ["model_index.json", "transformer", "config.json"].some((name) => exists(join(path, name)));
    return { kind: isDiffusers ? "model" : "images", path };
  }
  if (!exists(path)) return { kind: "model", path }; // its reader throws
  const bytes = await fileBytes(path);
  const isImage = imageFormat(await bytes.read(0, Math.min(headLength, bytes.size))) !== undefined;
  const kind = await kindOfFile(bytes);
  if (kind === "zip" || isImage) return { kind: "images", path };
  if (kind !== "npz") return { kind: "model", path };
  const file = await openNpz(bytes);
  // Bytes with rows and columns are images, whatever their name: weights are no bytes.
  const holdsImages = [...file.tensors.values()].some(({ dtype, shape }) => dtype === "uint8" && shape.length > 2);
  const isImages = holdsImages || file.tensors.has("arr_0") || file.unreadable.has("arr_0") || holdsStatistics(file);
  return { kind: isImages ? "images" : "model", path };
}

/** Where an evaluation goes by default: `samples.npz`, a name in many folders, goes by the name of its folder. */
export function defaultFolder(path: string): string {
  const isCommon = basename(path) === "samples.npz" && dirname(path) !== ".";
  return join("evaluations", modelName(isCommon ? dirname(path) : path));
}

/** @throws InputError if the default folder holds the evaluation of other images. */
export function refuseOtherEvaluation(path: string, name: string): void {
  if (!exists(path)) return;
  const before = (readJson(path) as { samples?: { name?: unknown } } | null)?.samples?.name;
  if (before === name) return;
  throw new InputError(`${path} is of other images (${String(before)}); choose a folder with \`out\``);
}
