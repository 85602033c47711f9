/** Which file of a folder holds the weights of a model: diffusers' folders, or the only weights there are. */

import { basename, join } from "node:path";
import { InputError, quote } from "../array/input-error.ts";
import { exists, type FolderEntry, isFolder, jsonIfAny, listFolder, readJson, readText } from "../storage/read.ts";

/** A JSON file and where it stands. */
export interface PlacedJson {
  readonly json: unknown;
  readonly where: string;
}

/** What stands beside weights of diffusers. */
export interface DiffusersParts {
  /** `transformer/config.json` */
  readonly config: PlacedJson;
  /** `scheduler/scheduler_config.json`, if there is one. */
  readonly scheduler?: PlacedJson;
}

/** The file of weights in a folder, and what diffusers says of it. */
export interface FolderWeights {
  readonly file: string;
  readonly diffusers?: DiffusersParts;
}

/** How diffusers calls the weights of a part. */
const STEM = "diffusion_pytorch_model";

/** Kinds of files that may hold all weights, first choice first. */
const kinds = [
  /\.safetensors\.index\.json$/,
  /\.safetensors$/,
  /\.bin\.index\.json$/,
  /\.(pt|pth|ckpt|bin)$/,
  /\.npz$/,
];

/** What training tools (Accelerate, transformers, DeepSpeed) keep beside the weights, to resume. */
const trainingState = /^(optimizer|scheduler|scaler|sampler|rng_state|random_states|training_args)|optim_states\.pt$/;

/**
 * Finds the weights in a diffusers pipeline, one of its parts, a folder with one file of weights, as Accelerate saves a
 * training, or one whose file `latest` names such a folder, as DeepSpeed's.
 * @throws InputError naming what is there, if that is nothing or more than one.
 */
export function weightsInFolder(path: string): FolderWeights {
  const pipeline = join(path, "model_index.json");
  const transformer = join(path, "transformer");
  if (exists(pipeline)) requirePipeline(pipeline, transformer);
  const part = isFolder(transformer) && exists(join(transformer, "config.json")) ? transformer : path;
  const file = onlyWeights(latestOf(part));
  const diffusers = diffusersBeside(file);
  return diffusers ? { file, diffusers } : { file };
}

/** The `config.json` of diffusers in the folder of a file, and the scheduler's in the folder beside that. */
export function diffusersBeside(file: string): DiffusersParts | undefined {
  const where = join(file, "..", "config.json");
  if (!exists(where)) return undefined;
  // A file of this name beside weights of other tools need not be JSON.
  const json = basename(file).startsWith(`${STEM}.`) ? readJson(where) : jsonIfAny(where);
  if (typeof (json as { _class_name?: unknown } | null)?._class_name !== "string") return undefined;
  const config = { json, where };
  const scheduler = join(file, "..", "..", "scheduler", "scheduler_config.json");
  return exists(scheduler) ? { config, scheduler: { json: readJson(scheduler), where: scheduler } } : { config };
}

function requirePipeline(path: string, transformer: string): void {
  const json = readJson(path) as { _class_name?: unknown } | null;
  if (json?._class_name !== "DiTPipeline") {
    throw new InputError(`${path}: expected _class_name DiTPipeline, found ${quote(json?._class_name)}`);
  }
  if (!exists(join(transformer, "config.json"))) {
    throw new InputError(`${transformer}: config.json is missing, which ${path} announces; is the folder complete?`);
  }
}

/** The folder that DeepSpeed's `latest` names, or the folder itself. */
function latestOf(path: string): string {
  const latest = join(path, "latest");
  if (!exists(latest) || isFolder(latest)) return path;
  const named = join(path, basename(readText(latest).trim()));
  return isFolder(named) ? named : path;
}

function onlyWeights(path: string): string {
  const entries = listFolder(path).filter(({ name }) => !name.startsWith("."));
  const files = entries.flatMap(({ name, kind }) => (kind === "folder" ? [] : name));
  if (files.some((name) => name.endsWith(".distcp"))) {
    throw new InputError(
      `${path}: expected a file of weights, found a distributed checkpoint of torch, which is not read; make a file of it with python -m torch.distributed.checkpoint.format_utils dcp_to_torch`,
    );
  }
  for (const kind of kinds) {
    const found = files.filter((name) => kind.test(name) && !trainingState.test(name));
    const usual = found.filter((name) => name.startsWith(`${STEM}.`) && name.replace(STEM, "").match(/^\.(safe|bin)/));
    const chosen = usual.length === 1 ? usual : found;
    if (chosen.length === 1) return join(path, chosen[0]!);
    if (chosen.length > 1) {
      throw new InputError(`${path} holds several files of weights; name one of ${shown(chosen)}`);
    }
  }
  throw new InputError(`${path}: expected a regular file, found a folder without weights${contents(entries)}`);
}

const shown = (names: readonly string[]): string =>
  names.length > 8 ? `${names.slice(0, 8).join(", ")} and ${names.length - 8} more` : names.join(", ");

function contents(entries: readonly FolderEntry[]): string {
  if (entries.length === 0) return "; check the path";
  const isIn = (wanted: boolean) =>
    entries.filter(({ kind }) => (kind === "folder") === wanted).map(({ name }) => name);
  return `, only ${shown([...isIn(false), ...isIn(true).map((name) => `${name}/`)])}`;
}
