/** Opening the files of PyTorch: state dicts and training checkpoints in both forms, TorchScript; nothing is executed. */

import { InputError } from "../../array/input-error.ts";
import type { ByteSource } from "../byte-source.ts";
import { kindOfBytes } from "../kind-of-file.ts";
import type { StoredTensor, WeightFile } from "../weight-file.ts";
import { openLegacyContainer } from "./legacy-container.ts";
import type { PickledObject, PickleValue } from "./pickle-values.ts";
import { plainFacts } from "./plain-facts.ts";
import { isScriptModule, moduleTensors } from "./script-module.ts";
import { chooseWeights, directTensors, type StateDict, stateDicts, tensorsBelow } from "./state-dicts.ts";
import { storedTensor } from "./stored-tensor.ts";
import type { TorchContainer } from "./torch-container.ts";
import { openZipContainer } from "./zip-container.ts";

/** An opened torch file; its tensors are the weights that were chosen. */
export interface TorchFile extends WeightFile {
  /** Which weights these are; a file with one dictionary only does not say, and counts as `raw`. */
  readonly weights: "raw" | "ema";
  /** The state dicts in the file: `model`, `ema`; none if it is one itself. */
  readonly groups: readonly string[];
  /** What stands beside the state dicts, arguments and numbers, as values for JSON; objects without prototype. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** All tensors below an entry of the file, such as `state.1.exp_avg` of `opt`. @throws InputError if it has none. */
  entry(name: string): Promise<ReadonlyMap<string, StoredTensor>>;
}

const enoughBytes = 64;

/**
 * Opens a torch file and reads the description of its tensors, not their values.
 * A moving average is preferred, as the original does; `wanted` says otherwise.
 * @throws InputError if it is no torch file, damaged, without the wanted weights, or names a class that is refused.
 */
export async function openTorch(source: ByteSource, wanted?: "model" | "ema"): Promise<TorchFile> {
  const where = source.name ?? "PyTorch file";
  const container = await openContainer(source, where);
  const { root } = container;
  const isModule = isScriptModule(root) && wanted !== "ema";
  const { tensors, ...found } = isModule ? moduleContent(root, where) : dictionaryContent(root, wanted, where);
  return {
    format: isModule ? "TorchScript" : container.format,
    metadata: Object.create(null),
    ...found,
    tensors: await storedTensors(tensors, container),
    entry: async (name) => storedTensors(tensorsBelow(root, name, where), container),
  };
}

type Content = Pick<TorchFile, "weights" | "groups" | "facts"> & { readonly tensors: StateDict };

/** Of a module there is one kind of weights only, and nothing is known beside them. */
const moduleContent = (root: PickledObject, where: string): Content => ({
  ...{ weights: "raw", groups: [], facts: Object.create(null) },
  tensors: moduleTensors(root, where),
});

function dictionaryContent(root: PickleValue, wanted: "model" | "ema" | undefined, where: string): Content {
  const groups = stateDicts(root);
  const { weights, group, tensors } = chooseWeights(root, groups, wanted, where);
  const shown = new Set([...groups.keys(), ...(group === undefined ? directTensors(root).keys() : [])]);
  return { weights, groups: [...groups.keys()], facts: plainFacts(root, shown), tensors };
}

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

async function storedTensors(tensors: StateDict, container: TorchContainer): Promise<Map<string, StoredTensor>> {
  const stored = new Map<string, StoredTensor>();
  for (const [name, tensor] of tensors) stored.set(name, await storedTensor(name, tensor, container));
  return stored;
}
