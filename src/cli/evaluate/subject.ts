/** What `evaluate` is given: images that are there, or a model that is to draw them. */
import { basename, dirname, join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { imageFormat } from "../../data/images/decode-image.ts";
import type { ImageSet } from "../../data/images/image-set.ts";
import type { Engine } from "../../engine/engine.ts";
import { headLength } from "../../evaluation/images/image-head.ts";
import { openImageSet } from "../../evaluation/images/open-image-set.ts";
import { holdsStatistics } from "../../evaluation/reference/reference-file.ts";
import { kindOfFile } from "../../formats/file-kind.ts";
import { openNpz } from "../../formats/npz.ts";
import { exists, fileBytes, isFolder, readJson } from "../../storage/read.ts";
import type { CommandContext } from "../command.ts";
import { type Drawer, openDrawer } from "../draw-set.ts";
import { modelName } from "../drawing.ts";
import { isRun, latestCheckpoint, weightsIn } from "../inspect-run.ts";

/** Size and name of images are known before they are drawn, so that nothing is drawn that cannot be compared. */
export type Subject = { readonly name: string; readonly height: number; readonly width: number } & (
  | { readonly kind: "images"; readonly images: ImageSet }
  | { readonly kind: "model"; readonly drawer: Drawer }
);

type DrawingValues = Parameters<typeof openDrawer>[2] & { readonly size?: number | undefined };

/**
 * Looks at what is there; a model will draw into `folder`.
 * @throws InputError for a run without a finished checkpoint, a file that cannot be read, or drawing options that do not
 *   fit the model.
 */
export async function subjectAt(
  path: string,
  folder: string,
  values: DrawingValues,
  context: CommandContext,
  engine: Engine,
): Promise<Subject> {
  const found = await kindAt(path);
  if (found.kind === "images") {
    const images = await openImageSet(path, values.size);
    const { name, height, width } = images;
    return { kind: "images", images, name, height, width };
  }
  const drawer = await openDrawer("evaluate", found.path, values, context, engine);
  return { kind: "model", drawer, name: folder, height: drawer.side, width: drawer.side };
}

async function kindAt(path: string): Promise<{ kind: "images" | "model"; path: string }> {
  if (isFolder(path)) {
    if (isRun(path)) return { kind: "model", path: latestWeights(path) };
    if (weightsIn(path) !== path) return { kind: "model", path: weightsIn(path) };
    const isDiffusers = ["model_index.json", "transformer", "config.json"].some((name) => exists(join(path, name)));
    return { kind: isDiffusers ? "model" : "images", path };
  }
  if (!exists(path)) return { kind: "model", path }; // its reader says what is not there
  const bytes = await fileBytes(path);
  const isImage = imageFormat(await bytes.read(0, Math.min(headLength, bytes.size))) !== undefined;
  const kind = await kindOfFile(bytes);
  if (kind === "zip" || isImage) return { kind: "images", path };
  if (kind !== "npz") return { kind: "model", path };
  const file = await openNpz(bytes);
  // Bytes with rows and columns are images, whatever they are called: weights are no bytes.
  const holdsImages = [...file.tensors.values()].some(({ dtype, shape }) => dtype === "uint8" && shape.length > 2);
  const isImages = holdsImages || file.tensors.has("arr_0") || file.unreadable.has("arr_0") || holdsStatistics(file);
  return { kind: isImages ? "images" : "model", path };
}

/** The averaged weights of a run's latest checkpoint; of a search the pruned model. */
function latestWeights(run: string): string {
  const pruned = join(run, "pruned.safetensors");
  if (exists(pruned)) return pruned;
  const latest = latestCheckpoint(run);
  if (latest !== undefined) return join(latest, "ema.safetensors");
  throw new InputError(
    `${run}: expected a checkpoint or a pruned model, found a run without either; let it run on first`,
  );
}

/** Where an evaluation goes if nobody says it: `samples.npz`, which many folders hold, is called as its folder. */
export function defaultFolder(path: string): string {
  const isAnyones = basename(path) === "samples.npz" && dirname(path) !== ".";
  return join("evaluations", modelName(isAnyones ? dirname(path) : path));
}

/** @throws InputError if the folder that nobody chose holds the evaluation of other images. */
export function refuseOtherEvaluation(folder: string, { name }: Subject): void {
  const path = join(folder, "evaluation.json");
  if (!exists(path)) return;
  const before = (readJson(path) as { samples?: { name?: unknown } } | null)?.samples?.name;
  if (before === name) return;
  throw new InputError(`${path} is of other images (${String(before)}); choose a folder with --out`);
}
