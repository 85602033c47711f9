/** Which weights a run folder holds. */
import { basename, join } from "node:path";
import { InputError } from "../array/input-error.ts";
import { exists, jsonIfAny, listFolder } from "../storage/read.ts";

/** Whether this is a run folder; many other folders too have a `config.json`, but one that says no command. */
export function isRun(path: string): boolean {
  if (exists(join(path, "checkpoints"))) return true;
  const config = jsonIfAny(join(path, "config.json")); // other tools' files have this name, too
  return typeof (config as { command?: unknown } | null | undefined)?.command === "string";
}

/** The folder of a run's latest checkpoint, if there is one. */
export function latestCheckpoint(run: string): string | undefined {
  const folder = join(run, "checkpoints");
  const steps = exists(folder) ? listFolder(folder).filter(({ name }) => /^step-\d+$/.test(name)) : [];
  const latest = steps.at(-1);
  return latest && join(folder, latest.name);
}

/** The averaged weights of a checkpoint folder; the path itself for anything else. */
export const weightsIn = (path: string): string =>
  /^step-\d+$/.test(basename(path)) && exists(join(path, "ema.safetensors")) ? join(path, "ema.safetensors") : path;

/** The pruned model of a run that searched, else the averaged weights of its latest checkpoint. @throws InputError for neither. */
export function latestWeights(run: string): string {
  const pruned = join(run, "pruned.safetensors");
  if (exists(pruned)) return pruned;
  const latest = latestCheckpoint(run);
  if (latest !== undefined) return join(latest, "ema.safetensors");
  throw new InputError(
    `${run}: expected a checkpoint or a pruned model, found a run without either; continue the run until it has one`,
  );
}
