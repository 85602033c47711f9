/** Opening the files of PyTorch: state dicts and training checkpoints in both forms, TorchScript; nothing is executed. */

import { InputError, quote } from "../../array/input-error.ts";
import { kindOfBytes } from "../file-kind.ts";
import type { ByteSource, StoredTensor, WeightFile } from "../weight-file.ts";
import { chooseWeights, isAverage, isKnown, nameOf } from "./choose-weights.ts";
import { openLegacyContainer } from "./legacy-container.ts";
import type { NamedTensors, PickledObject, PickleValue } from "./pickle-values.ts";
import { plainEntries } from "./plain-entries.ts";
import {
  holderOf,
  isScriptModule,
  moduleTensors,
  noWeights,
  stateDicts,
  tensorsBelow,
  unlisted,
  unnamedText,
} from "./state-dicts.ts";
import { storedTensor } from "./stored-tensor.ts";
import type { TorchContainer } from "./torch-container.ts";
import { openZipContainer } from "./zip-container.ts";

/** An opened torch file; its tensors are the weights that were chosen. */
export interface TorchFile extends WeightFile {
  /** Which weights these are; a file with one dictionary only does not say, and counts as `raw`. */
  readonly weights: "raw" | "ema";
  /** The names of the state dicts in the file: `model`, `ema`; none if it is one itself. */
  readonly groups: readonly string[];
  /** What is beside the state dicts: arguments and numbers, as values for JSON; objects without prototype. */
  readonly otherEntries: Readonly<Record<string, unknown>>;
  /** Classes and functions that the file names and that are not known here: their objects are inert. */
  readonly placeholders: readonly string[];
  /** What a person should know of the choice of weights. */
  readonly notes: readonly string[];
  /**
   * All tensors below an entry of the file, such as `state.1.exp_avg` of `opt`.
   * @throws InputError if it has none, or one of a kind that is not read.
   */
  entry(name: string): Promise<ReadonlyMap<string, StoredTensor>>;
}

const enoughBytes = 64;

/**
 * Opens a torch file and reads the description of its tensors, not their values.
 * A moving average is preferred, as the original does; `wanted` says otherwise: "model", "ema", or the name of a state
 * dict.
 * @throws InputError if it is no torch file, damaged, without the wanted weights or with several that fit, or calls
 *   what a weights file has no need of.
 */
export async function openTorch(source: ByteSource, wanted?: string): Promise<TorchFile> {
  const where = source.name ?? "PyTorch file";
  const container = await openContainer(source, where);
  const { placeholders } = container;
  const root = unlisted(container.root);
  const isModule = isScriptModule(root) && wanted !== "ema";
  const { chosen, ...content } = isModule ? moduleContent(root, where) : dictionaryContent(root, wanted, where);
  return {
    format: isModule ? "TorchScript" : container.format,
    metadata: Object.create(null),
    ...content,
    placeholders,
    ...(await storedTensors(chosen, container)),
    entry: async (name) => {
      const { tensors, unreadable } = await storedTensors(tensorsBelow(root, name, where), container);
      for (const [tensor, reason] of unreadable) throw new InputError(`${where}: tensor ${quote(tensor)} ${reason}`);
      return tensors;
    },
  };
}

type Content = Pick<TorchFile, "weights" | "groups" | "otherEntries" | "notes"> & { readonly chosen: NamedTensors };

/** Of a module there is one kind of weights only, and nothing is known beside them. */
const moduleContent = (root: PickledObject, where: string): Content => ({
  weights: "raw",
  groups: [],
  otherEntries: Object.create(null),
  notes: [],
  chosen: moduleTensors(root, where),
});

function dictionaryContent(root: PickleValue, wanted: string | undefined, where: string): Content {
  const all = stateDicts(root);
  const { found, unnamed } = all;
  const taken = chooseWeights(found, wanted, where);
  if (!taken) throw noWeights(root, all, wanted, where);
  const isBare = taken.path.length === 0;
  const shown = new Set(isBare ? taken.tensors.keys() : []);
  for (const { path } of found) if (path[0] !== undefined) shown.add(path[0]); // with the entries beside weights in them
  const notes = [
    ...(isBare || isKnown(taken) ? [] : [`${where}: its only weights are called ${quote(nameOf(taken))}`]),
    ...(unnamed && !isAverage(taken) && wanted === undefined ? [`${where}: ${unnamedText(unnamed)}`] : []),
  ];
  return {
    weights: isAverage(taken) ? "ema" : "raw",
    groups: found.flatMap((one) => nameOf(one) || []),
    otherEntries: Object.assign(plainEntries(root, shown), besideDeeper(root, taken.path)),
    notes,
    chosen: taken.tensors,
  };
}

/** Weights further down have their arguments beside them there. */
const besideDeeper = (root: PickleValue, path: readonly string[]): Readonly<Record<string, unknown>> =>
  path.length > 1 ? plainEntries(holderOf(root, path), new Set([path.at(-1)!])) : {};

async function openContainer(source: ByteSource, where: string): Promise<TorchContainer> {
  const kind = kindOfBytes(await source.read(0, Math.min(enoughBytes, source.size)));
  if (kind === "zip") return openZipContainer(source, where);
  if (kind === "torch") return openLegacyContainer(source, where);
  if (kind === "pickle") {
    throw new InputError(
      `${where}: expected a file of torch.save, found a bare pickle, which is not read; load it with Python and save its tensors with torch.save`,
    );
  }
  throw new InputError(
    `${where}: expected a file of torch.save, found ${kind === "unknown" ? "another format" : kind}`,
  );
}

async function storedTensors(
  named: NamedTensors,
  container: TorchContainer,
): Promise<Pick<TorchFile, "tensors" | "unreadable">> {
  const [tensors, unreadable] = [new Map<string, StoredTensor>(), new Map<string, string>()];
  for (const [name, tensor] of named) {
    const stored = await storedTensor(name, tensor, container);
    if (typeof stored === "string") unreadable.set(name, stored);
    else tensors.set(name, stored);
  }
  return { tensors, unreadable };
}
