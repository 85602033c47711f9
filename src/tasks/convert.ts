/** Converts weights of any format as safetensors, as a file of PyTorch, or as a folder of diffusers. */
import { InputError } from "../array/input-error.ts";
import { imagenetClasses } from "../data/class-names.ts";
import { processText } from "../diffusion/process.ts";
import { requireRange, type StoredPrecision } from "../formats/float16.ts";
import { shardBytesDefault, type WritableTensor } from "../formats/safetensors-write.ts";
import { encodeTorchStream } from "../formats/torch/encode-torch.ts";
import type { DiTConfig } from "../models/dit/config.ts";
import type { Model } from "../models/registry.ts";
import { writeAtomically } from "../storage/atomic-write.ts";
import { jsonText } from "../storage/json.ts";
import { exists, isFolder, readText, realPath } from "../storage/read.ts";
import { type StoredAutoencoder, storedAutoencoder } from "../weights/autoencoder-file.ts";
import { diffusersFolder } from "../weights/diffusers-folder.ts";
import { presetName } from "../weights/fitting-models.ts";
import { describeModel, openStoredModel, type StoredModel } from "../weights/model-file.ts";
import { openWeights } from "../weights/open-weights.ts";
import {
  type NonFinite,
  nonFiniteText,
  requireNewFolder,
  safetensorsFiles,
  watchedTensors,
  writeFolder,
} from "../weights/output-files.ts";
import { requireLatents } from "./decoder-settings.ts";
import { fileModelSettings, givenModel, refuseContradiction } from "./model-settings.ts";
import { fileEnding } from "./output-names.ts";
import { refuseIgnored, required, SettingError, type SettingTable, type Values } from "./settings.ts";
import { unusualProcess } from "./shared-settings.ts";
import { startTask, type TaskContext, type TaskSettings } from "./task.ts";

const formats = ["safetensors", "pt", "diffusers"] as const;

export const convertSettings = {
  file: { kind: "weights", help: "weights of any format" },
  to: {
    kind: "choice",
    choices: formats,
    help: "format of the output [by the ending of `out`: .pt, .pth, .ckpt, .bin; else safetensors]",
  },
  out: { kind: "text", help: "file to write; a folder for diffusers and sharded safetensors" },
  dtype: {
    kind: "choice",
    choices: ["float32", "float16", "bfloat16"],
    help: "precision of the weights [as they are stored]",
  },
  shardSize: { kind: "number", min: 1e-6, help: "GB of the largest file of safetensors [5]" },
  vae: { kind: "weights", help: "diffusers: autoencoder written beside the model, file or folder" },
  ...fileModelSettings,
} as const satisfies SettingTable;

type ConvertValues = Values<typeof convertSettings>;
type Format = (typeof formats)[number];

export interface ConvertResult {
  readonly out: string;
  readonly format: Format;
  readonly model: Model;
  /** The file that was read. */
  readonly file: string;
}

/**
 * Writes weights of any format as safetensors, as a file of PyTorch, or as a folder of diffusers.
 * @throws SettingError, InputError for a file that is no model, or weights that the format cannot hold; the signal's reason.
 */
export async function convert(settings: TaskSettings<typeof convertSettings>): Promise<ConvertResult> {
  const { values, context } = await startTask(convertSettings, settings);
  const path = required("file", values.file);
  const out = required("out", values.out);
  const to = formatOf(out, values.to);
  refuseMeaningless(to, context);
  const stored = await openStoredModel(path, givenModel(values), { wanted: values.weights });
  refuseContradiction(stored);
  for (const line of stored.notes) context.note(line);
  const target = exists(out) ? realPath(out) : out; // a name that is a link, or is written in another way
  if (stored.opened.files.some(({ path: file }) => file === target)) {
    throw new InputError(`${out} is the file that is converted; choose another \`out\``);
  }
  const notFinite = new Map<string, NonFinite>();
  const prepared = (tensors: Iterable<WritableTensor>) =>
    watchedTensors(tensors, notFinite, { precision: values.dtype, signal: context.signal });
  await writers[to]({ stored, out, path, values, prepared, context });
  const warning = nonFiniteText(notFinite);
  if (warning !== undefined) context.note(`${path} has ${warning}; they were written as they are`);
  return { out, format: to, model: stored.model, file: path };
}

interface Conversion {
  readonly stored: StoredModel;
  readonly out: string;
  readonly path: string;
  readonly values: ConvertValues;
  readonly prepared: (tensors: Iterable<WritableTensor>) => WritableTensor[];
  readonly context: TaskContext;
}

const writers: { readonly [F in Format]: (conversion: Conversion) => Promise<void> } = {
  safetensors: writeSafetensors,
  pt: writeTorch,
  diffusers: writeDiffusers,
};

async function writeSafetensors({ stored, out, values, prepared }: Conversion): Promise<void> {
  const { model, facts, tensors } = stored;
  const isFile = fileEnding(out) === ".safetensors";
  if (!isFile) requireNewFolder(out);
  await checkRange(tensors.values(), values.dtype);
  const settings = { shardBytes: shardBytesOf(values), stem: "model" };
  const files = safetensorsFiles(prepared(tensors.values()), describeModel(model, facts), settings);
  if (!isFile) return writeFolder(out, files);
  if (files.length > 1) {
    throw new InputError(
      `${out} would need ${files.length - 1} files of at most ${values.shardSize ?? 5} GB; give a folder, or a larger \`shardSize\``,
    );
  }
  await writeAtomically(out, files[0]!.content);
}

/** A file of PyTorch says nothing of itself: what no preset is called by is written beside it. */
async function writeTorch({
  stored: { model, facts, tensors },
  out,
  values,
  prepared,
  context,
}: Conversion): Promise<void> {
  if (exists(out) && isFolder(out)) throw new InputError(`cannot write ${out}: expected a file, found a folder`);
  await checkRange(tensors.values(), values.dtype);
  const beside = hasPresetName(model) ? undefined : configBeside(out, model);
  const named = prepared(tensors.values()).map((tensor) => [tensor.name, tensor] as const);
  await writeAtomically(out, encodeTorchStream(new Map(named)));
  if (beside) {
    await writeAtomically(beside.path, beside.text);
    context.note(`${out} does not say its sizes: give it with \`modelConfig\` ${beside.path}`);
  }
  const flags = unusualProcess(facts.process);
  if (flags !== "")
    context.note(`${out} does not say its process (${processText(facts.process)}): give it with ${flags}`);
}

/** Whether `--model` with a preset's name is enough to read the weights again. */
function hasPresetName(model: Model): boolean {
  const { keptHeads, mlpSize } = model.config as Partial<DiTConfig>;
  return keptHeads === undefined && mlpSize === undefined && presetName(model) !== null;
}

/** The configuration as a file for `--model-config`. @throws InputError if another file has its name. */
function configBeside(out: string, model: Model): { path: string; text: string } {
  const [path, text] = [`${out.replace(/\.[^./\\]*$/, "")}.config.json`, jsonText(model.config)];
  if (exists(path) && readText(path) !== text) {
    throw new InputError(
      `cannot write ${path}: another file has this name, where the configuration goes; choose another \`out\``,
    );
  }
  return { path, text };
}

async function writeDiffusers({ stored, out, path, values, prepared, context }: Conversion): Promise<void> {
  requireNewFolder(out);
  const { model, facts, tensors } = stored;
  const autoencoder = values.vae === undefined ? undefined : await autoencoderFor(model, values.vae);
  const isImagenet = model.config.numClasses === imagenetClasses.length;
  const parts = { model, facts, tensors, shardBytes: shardBytesOf(values), prepared };
  const files = await diffusersFolder(
    {
      ...parts,
      ...(autoencoder && { autoencoder }),
      ...(isImagenet && { classNames: imagenetClasses.map((words) => words.join(", ")) }),
    },
    path,
  );
  await checkRange([...tensors.values(), ...(autoencoder?.tensors.values() ?? [])], values.dtype);
  await writeFolder(out, files);
  context.note(
    "diffusers embeds timesteps with other frequencies than the DiTs of the paper; for equal outputs set " +
      "block.norm1.emb.time_proj.downscale_freq_shift = 0 in each block of pipe.transformer.transformer_blocks",
  );
  if (!isImagenet)
    context.note("DiTPipeline's guidance takes label 1000 for none; it suits models of 1,000 classes only");
  if (!autoencoder) context.note("without `vae`: give one as from_pretrained(…, vae=…)");
}

/** @throws InputError for an autoencoder of other latents than the model's. */
async function autoencoderFor({ config: { inChannels } }: Model, path: string): Promise<StoredAutoencoder> {
  const autoencoder = storedAutoencoder(await openWeights(path, { part: "autoencoder" }));
  requireLatents(autoencoder.config, inChannels, path);
  return autoencoder;
}

const shardBytesOf = ({ shardSize }: ConvertValues): number =>
  shardSize === undefined ? shardBytesDefault : shardSize * 1e9;

/** All weights that do not fit, named before anything is written. */
async function checkRange(tensors: Iterable<WritableTensor>, precision: StoredPrecision | undefined): Promise<void> {
  if (precision) await requireRange(tensors, precision);
}

/** What a file of this ending holds. */
const formatOfEnding: Readonly<Record<string, Format>> = {
  ".safetensors": "safetensors",
  ".pt": "pt",
  ".pth": "pt",
  ".ckpt": "pt",
  ".bin": "pt",
};

/**
 * The format that the name says, or that is asked for; safetensors otherwise.
 * @throws SettingError for a name that is another format's, or a format that is not written here.
 */
function formatOf(out: string, to: Format | undefined): Format {
  const ending = fileEnding(out);
  const named = formatOfEnding[ending];
  if (ending === ".onnx")
    throw new SettingError(`\`out\` ${out}: ONNX files are written by tinyfusion export --onnx --out FOLDER`);
  if (ending !== "" && named === undefined) {
    const known = Object.keys(formatOfEnding).join(", ");
    throw new SettingError(`\`out\` ${out}: convert writes no ${ending} files; expected ${known}, or a folder`);
  }
  if (named === undefined || to === undefined || named === to) return to ?? named ?? "safetensors";
  const what = to === "diffusers" ? "a folder" : `a .${to} file`;
  throw new SettingError(
    `\`to\` ${to} writes ${what}, but \`out\` ${out} has the ending of another format; change one of the two`,
  );
}

function refuseMeaningless(to: Format, { given }: TaskContext): void {
  if (to !== "diffusers")
    refuseIgnored(given, `\`to\` ${to}`, ["vae"], "only a folder of diffusers holds an autoencoder");
  if (to === "pt") refuseIgnored(given, "`to` pt", ["shardSize"], "a file of PyTorch is one file");
}
