/** Which files of a repository are wanted: one file, a folder of a diffusers model, or the only weights there are. */

import { InputError } from "../../array/input-error.ts";
import { isSafeFile } from "./location.ts";

/** A file of a repository. */
export interface HubFile {
  /** With slashes, relative to the repository. */
  readonly path: string;
  readonly size: number;
  /** Its name among the blobs of the cache: SHA-256 of a large file, git's SHA-1 of a small one. */
  readonly oid: string;
}

/** Files to be downloaded together. */
export interface Choice {
  /** What a reader opens: a file or a folder, relative to the repository; "" for all of it. */
  readonly root: string;
  readonly files: readonly HubFile[];
}

/**
 * The files that belong to `wanted`: a file (an index of shards brings its shards), or a folder with the weights of a
 * model. Without it: a diffusers pipeline (`model_index.json`, `transformer`, `vae`, `scheduler`), a diffusers model
 * (`config.json` beside its weights), or else the single file of weights. `subject` names the repository in errors.
 * @throws InputError that lists what there is, if nothing fits or several do.
 */
export function chooseFiles(files: readonly HubFile[], wanted: string | undefined, subject: string): Choice {
  const choice = wanted === undefined ? wholeModel(files, subject) : named(files, wanted, subject);
  const unsafe = choice.files.find(({ path }) => !isSafeFile(path));
  if (unsafe) throw new InputError(`${subject}: refused a file whose name leaves the repository: ${unsafe.path}`);
  return choice;
}

function named(files: readonly HubFile[], wanted: string, subject: string): Choice {
  const file = files.find(({ path }) => path === wanted);
  if (file) return { root: wanted, files: [file, ...shardsOf(file.path, files)] };
  const inside = files.filter(({ path }) => path.startsWith(`${wanted}/`));
  if (inside.length === 0) {
    throw new InputError(`${subject}: there is no such file; the repository has ${listed(files)}`);
  }
  const part = component(inside, wanted);
  if (part.length === 0) throw new InputError(`${subject}: expected weights in this folder, found ${listed(inside)}`);
  return { root: wanted, files: part };
}

function wholeModel(files: readonly HubFile[], subject: string): Choice {
  const pipeline = files.find(({ path }) => path === "model_index.json");
  if (pipeline) {
    const inFolder = (folder: string) => files.filter(({ path }) => path.startsWith(`${folder}/`));
    const parts = ["transformer", "vae"].flatMap((folder) => component(inFolder(folder), folder));
    const scheduler = inFolder("scheduler").filter(({ path }) => path.endsWith(".json"));
    return { root: "", files: [pipeline, ...scheduler, ...parts] };
  }
  const top = files.filter(({ path }) => !path.includes("/"));
  if (top.some(({ path }) => path === "config.json") && top.some(({ path }) => isDiffusersWeights(path))) {
    return { root: "", files: component(top, "") };
  }
  return onlyWeights(files, subject);
}

/** One entry for each file of weights; the shards of an index count with it. */
function onlyWeights(files: readonly HubFile[], subject: string): Choice {
  const weights = files.filter(({ path }) => isIndex(path) || isWeights(path));
  const shards = new Set(weights.flatMap(({ path }) => shardsOf(path, files)));
  const single = weights.filter((file) => !shards.has(file));
  const [only] = single;
  if (only === undefined) throw new InputError(`${subject}: expected weights, the repository has ${listed(files)}`);
  if (single.length > 1) {
    throw new InputError(`${subject}: which file? Add one of its files after a slash: ${listed(single)}`);
  }
  return { root: only.path, files: [only, ...shardsOf(only.path, files)] };
}

/** Configuration and weights of one part of a pipeline: safetensors rather than pickles, no variants like `.fp16`. */
function component(files: readonly HubFile[], folder: string): HubFile[] {
  const start = folder === "" ? 0 : folder.length + 1;
  const own = files.filter(({ path }) => !path.slice(start).includes("/"));
  const isPlain = ({ path }: HubFile) => /^[^.]+(\.safetensors|\.bin|\.pt|\.pth)$/.test(path.slice(start));
  const forms = [/\.safetensors$/, /\.(bin|pt|pth)$/];
  const weights = [own.filter(isPlain), own.filter(({ path }) => isWeights(path))]
    .flatMap((candidates) => forms.map((form) => candidates.filter(({ path }) => form.test(path))))
    .find((candidates) => candidates.length > 0);
  if (!weights) return [];
  const settings = own.filter(({ path }) => path.endsWith(".json") && !path.endsWith(".index.json"));
  const indexes = own.filter(({ path }) => shardsOf(path, weights).length > 0);
  return [...settings, ...indexes, ...weights];
}

/** The shards of an index, by the names they have everywhere: `stem-00001-of-00003.safetensors`. */
function shardsOf(path: string, files: readonly HubFile[]): HubFile[] {
  if (!isIndex(path)) return [];
  const stem = path.replace(/\.safetensors\.index\.json$/, "");
  const rest = (file: HubFile) => (file.path.startsWith(`${stem}-`) ? file.path.slice(stem.length) : "");
  return files.filter((file) => /^-\d{5}-of-\d{5}\.safetensors$/.test(rest(file)));
}

const isIndex = (path: string) => path.endsWith(".safetensors.index.json");
const isWeights = (path: string) => /\.(safetensors|pt|pth|bin|ckpt)$/.test(path);
const isDiffusersWeights = (path: string) => isWeights(path) && path.startsWith("diffusion_pytorch_model");

function listed(files: readonly HubFile[]): string {
  if (files.length === 0) return "no files";
  const shown = files.slice(0, 12).map(({ path }) => path.slice(0, 100));
  return `${shown.join(", ")}${files.length > shown.length ? ` and ${files.length - shown.length} more` : ""}`;
}
