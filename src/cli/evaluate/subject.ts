/** What `evaluate` is given: images that are there, or a model that is to draw them. */
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { kindOfFile } from "../../formats/kind-of-file.ts";
import { openNpz } from "../../formats/npz.ts";
import { exists, fileBytes, isFolder, listFolder } from "../../storage/read.ts";
import { isRun } from "../inspect-run.ts";

export type Subject =
  | { readonly kind: "images"; readonly path: string }
  | { readonly kind: "model"; readonly path: string };

/** Looks at what is there. @throws InputError for a run without a finished checkpoint, or a file that cannot be read. */
export async function subjectAt(path: string): Promise<Subject> {
  if (isFolder(path)) {
    if (isRun(path)) return { kind: "model", path: latestWeights(path) };
    const isDiffusers = ["model_index.json", "transformer", "config.json"].some((name) => exists(join(path, name)));
    return { kind: isDiffusers ? "model" : "images", path };
  }
  const bytes = await fileBytes(path);
  const kind = await kindOfFile(bytes);
  if (kind === "zip") return { kind: "images", path };
  if (kind !== "npz") return { kind: "model", path };
  return { kind: (await openNpz(bytes)).tensors.has("arr_0") ? "images" : "model", path };
}

/** The averaged weights of a run's latest checkpoint; of a search the pruned model. */
function latestWeights(run: string): string {
  const pruned = join(run, "pruned.safetensors");
  if (exists(pruned)) return pruned;
  const checkpoints = join(run, "checkpoints");
  const steps = exists(checkpoints) ? listFolder(checkpoints).filter(({ name }) => /^step-\d+$/.test(name)) : [];
  const latest = steps.at(-1);
  if (latest) return join(checkpoints, latest.name, "ema.safetensors");
  throw new InputError(
    `${run}: expected a checkpoint or a pruned model, found a run without either; let it run on first`,
  );
}
