/** Opening weights of any kind, told by content: safetensors, sharded or not, PyTorch's files, npz, and folders of them. */

import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { InputError } from "../array/input-error.ts";
import { kindOfFile, mistakenFile, mistakenFileBytes } from "../formats/file-kind.ts";
import { openNpz } from "../formats/npz.ts";
import { openSafetensors } from "../formats/safetensors.ts";
import { openShardedWeights } from "../formats/sharded-weights.ts";
import { openTorch } from "../formats/torch/open-torch.ts";
import type { ByteSource, WeightFile } from "../formats/weight-file.ts";
import { requireUndamaged, sha256Of } from "../storage/checksums.ts";
import { hubAdvice } from "../storage/download/local-path.ts";
import { exists, type FileBytes, fileBytes, isFolder } from "../storage/read.ts";
import { type CleanOptions, cleanedWeights } from "./clean-names.ts";
import { type DiffusersParts, diffusersBeside, weightsInFolder } from "./weights-folder.ts";

/** Weights of any file or folder; their values stay there until they are read. */
export interface OpenedWeights extends WeightFile {
  /** As it was asked for. */
  readonly path: string;
  /** All files that hold the weights. */
  readonly files: readonly FileBytes[];
  /** Of the file, where it was compared with a record when it was opened. */
  readonly sha256?: string;
  /** Of a file with several state dicts, or several models by prefix: which was taken. */
  readonly weights?: "raw" | "ema";
  /** The state dicts of a training checkpoint: `model`, `ema`. */
  readonly groups: readonly string[];
  /** What a training checkpoint holds beside them: its arguments, the optimizer's settings. */
  readonly otherEntries: Readonly<Record<string, unknown>>;
  /** Classes and functions that a training checkpoint names and that are not known: their objects are inert. */
  readonly placeholders: readonly string[];
  /** What diffusers says of the weights, where they lie in a folder of it. */
  readonly diffusers?: DiffusersParts;
  /** What is odd but harmless. */
  readonly notes: readonly string[];
}

export interface OpenWeightsOptions extends Pick<CleanOptions, "part"> {
  /** Which weights of a training checkpoint, "model", "ema" or a name; its moving average by default, if it has one. */
  readonly wanted?: string | undefined;
}

type Opened = Omit<OpenedWeights, "path" | "diffusers">;

/**
 * Opens a file or folder of weights and reads their description, not their values. Names are without what training tools
 * put around them; of several models in one file there is the one that `part` and `wanted` ask for.
 * @throws InputError in one sentence that says what was found, if it holds no weights, is damaged or cut off.
 */
export async function openWeights(path: string, options: OpenWeightsOptions = {}): Promise<OpenedWeights> {
  const advice = exists(path) ? undefined : hubAdvice(path);
  if (advice !== undefined) throw new InputError(`cannot read ${path}: no such file or folder; ${advice}`);
  const { file, diffusers } = isFolder(path) ? weightsInFolder(path) : { file: path, diffusers: diffusersBeside(path) };
  const sha256 = await requireUndamaged(file);
  const opened = await openFile(file, options.wanted);
  requireNamed(opened, options.wanted, path);
  const { notes, ...cleaned } = cleanedWeights(opened.tensors, path, options);
  const all = [...opened.notes, ...(opened.unreadable.size > 0 ? [`${path}: ${unreadText(opened)}`] : []), ...notes];
  return { ...opened, ...cleaned, notes: all, path, ...(sha256 && { sha256 }), ...(diffusers && { diffusers }) };
}

/** Which tensors are not read, and why the first of them is not. */
export function unreadText({ unreadable }: Pick<OpenedWeights, "unreadable">): string {
  const [name, reason] = unreadable.entries().next().value ?? [];
  return `not read: ${name}, which ${reason}${unreadable.size > 1 ? `, and ${unreadable.size - 1} more` : ""}`;
}

/** @throws InputError if weights are asked for by a name that is none of a state dict, nor before any tensor. */
function requireNamed({ groups, tensors }: Opened, wanted: string | undefined, path: string): void {
  if (wanted === undefined || wanted === "model" || wanted === "ema" || groups.length > 0) return;
  if (Array.from(tensors.keys()).some((name) => `.${name}`.includes(`.${wanted}.`))) return;
  throw new InputError(`${path} holds no weights called ${wanted}; leave \`weights\` out`);
}

/** One SHA-256 for all files: that of the file, or of the names and hashes of several. */
export async function weightsSha256({ files, sha256 }: Pick<OpenedWeights, "files" | "sha256">): Promise<string> {
  if (sha256 !== undefined) return sha256;
  if (files.length === 1) return sha256Of(files[0]!);
  const hash = createHash("sha256");
  for (const file of files) hash.update(`${basename(file.name)} ${await sha256Of(file)}\n`);
  return hash.digest("hex");
}

async function openFile(path: string, wanted: string | undefined): Promise<Opened> {
  const source = await fileBytes(path);
  const nothingBeside = { files: [source], groups: [], placeholders: [], otherEntries: Object.create(null), notes: [] };
  switch (await kindOfFile(source)) {
    case "safetensors":
      return { ...(await openSafetensors(source)), ...nothingBeside };
    case "torch":
    case "zip": // not one of torch or NumPy: its reader says what is missing
    case "pickle":
      return torchFile(source, wanted);
    case "npz":
      return { ...(await openNpz(source)), ...nothingBeside };
    default:
      break;
  }
  const index = await indexText(source);
  if (index !== undefined) return openIndex(path, index);
  const mixUp = await knownMixUp(source);
  if (mixUp) throw mixUp;
  // A name that promises safetensors: what is wrong with it is better told by their reader.
  if (path.endsWith(".safetensors")) return { ...(await openSafetensors(source)), ...nothingBeside };
  throw await notWeights(source);
}

const longestIndex = 2 ** 26;

/** The text of JSON with a `weight_map`, which is the index of weights in several files; undefined for anything else. */
async function indexText(source: FileBytes): Promise<string | undefined> {
  if (source.size > longestIndex) return undefined;
  const text = new TextDecoder().decode(await source.read(0, source.size));
  return /^\s*\{/.test(text) && text.includes('"weight_map"') ? text : undefined;
}

async function openIndex(path: string, text: string): Promise<Opened> {
  const files: FileBytes[] = [];
  const openSibling = async (name: string) => {
    const file = await fileBytes(join(dirname(path), name));
    files.push(file);
    return file;
  };
  const opened = await openShardedWeights(text, openSibling, path);
  return { ...opened, files, groups: [], placeholders: [], otherEntries: Object.create(null) };
}

async function torchFile(source: FileBytes, wanted: string | undefined): Promise<Opened> {
  const { weights, entry: _, ...opened } = await openTorch(source, wanted);
  return { ...opened, files: [source], ...(opened.groups.length > 0 && { weights }) };
}

/** What else a file begins with (case and leading blanks do not count), what that means, and what to do. */
const known: readonly (readonly [start: string, found: string, remedy: string])[] = [
  ["<?xml", "a web page", "it is an error or login page; download the file itself"],
  ["gguf", "GGUF weights", "convert them to safetensors with the tool that made them"],
  ["\x89hdf", "an HDF5 file", "convert it to safetensors with the library that made it"],
  ...["\x89png", "\xff\xd8\xff", "gif8"].map((start) => [start, "a picture", "name a file of weights"] as const),
];

/** The error for a file that is no format of weights. */
export async function notWeights(source: ByteSource): Promise<InputError> {
  if (source.size === 0) return refused(source, "an empty file", "download or write it again");
  const mixUp = await knownMixUp(source);
  if (mixUp) return mixUp;
  const bytes = await firstBytes(source);
  const text = asText(bytes);
  const isText = /^[\t\n\r\x20-\x7e]*$/.test(text);
  const found = isText ? `text that begins ${JSON.stringify(text.slice(0, 40))}` : `bytes that begin ${hex(bytes)}`;
  return refused(source, found, "is it the right file?");
}

/** The error for a file that people take for weights, if it is one of those. */
export async function knownMixUp(source: ByteSource): Promise<InputError | undefined> {
  const bytes = await firstBytes(source);
  const mistaken = mistakenFile(bytes);
  if (mistaken) return refused(source, mistaken.found, mistaken.remedy);
  const text = asText(bytes).trimStart().toLowerCase();
  const match = known.find(([start]) => text.startsWith(start));
  return match && refused(source, match[1], match[2]);
}

function refused({ name = "file" }: ByteSource, found: string, remedy: string): InputError {
  const expected = "expected weights (safetensors, a file of torch.save, npz, or an index of safetensors)";
  return new InputError(`${name}: ${expected}, found ${found}; ${remedy}`);
}

const firstBytes = (source: ByteSource): Promise<Uint8Array> =>
  source.read(0, Math.min(mistakenFileBytes, source.size));

/** Each byte as one character. */
const asText = (bytes: Uint8Array): string => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");

const hex = (bytes: Uint8Array): string =>
  Array.from(bytes.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
