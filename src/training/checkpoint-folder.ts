/** A checkpoint as a folder: safetensors, and a `state.json` that holds their checksums and one of its own. */
import { basename, dirname, join } from "node:path";
import { InputError } from "../array/input-error.ts";
import type { NDArray } from "../array/ndarray.ts";
import { encodeSafetensors, readSafetensors, type Safetensors } from "../formats/safetensors.ts";
import { publishDirectory, remove, temporaryFolder, writeAtomically } from "../storage/atomic-write.ts";
import { exists, listFolder, openByteRanges } from "../storage/read.ts";
import { readState, requireChecksum } from "../storage/recorded-checksum.ts";
import { type FileChecksum, measured, sealed } from "../storage/sealed-json.ts";

/** The files of a checkpoint: tensors and metadata by file name (without extension), and a JSON state. */
export interface Checkpoint {
  readonly files: Readonly<Record<string, ReadonlyMap<string, NDArray>>>;
  readonly metadata: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly state: Readonly<Record<string, unknown>>;
}

/** Publishes a checkpoint as the folder `target`: whole or not at all. */
export async function writeCheckpoint(target: string, { files, metadata, state }: Checkpoint): Promise<void> {
  const folder = temporaryFolder(target);
  const checksums: Record<string, FileChecksum> = {};
  try {
    for (const [name, tensors] of Object.entries(files)) {
      const { content, checksum } = measured(encodeSafetensors(tensors, metadata[name] ?? {}));
      await writeAtomically(join(folder, `${name}.safetensors`), content);
      checksums[`${name}.safetensors`] = checksum();
    }
    const whole = sealed({ ...state, checksums });
    await writeAtomically(join(folder, "state.json"), `${JSON.stringify(whole)}\n`);
    await publishDirectory(folder, target);
  } catch (error) {
    remove(folder);
    throw error;
  }
}

/**
 * Reads a checkpoint, which must hold the files `expected`, if that is known; every file is compared with its checksum.
 * One from before there were checksums is read as it is.
 * @throws InputError for the first thing that is missing or damaged.
 */
export async function readCheckpoint(folder: string, expected: readonly string[] = []): Promise<Checkpoint> {
  const { state, checksums } = readState(folder);
  const step = /^step-(\d+)$/.exec(basename(folder))?.[1];
  if (step !== undefined && state.step !== undefined && state.step !== Number(step))
    throw new InputError(`${join(folder, "state.json")} is that of step ${state.step}`);
  const there = listFolder(folder).flatMap(({ name }) => (name.endsWith(".safetensors") ? [name] : []));
  const names = new Set([...expected.map((name) => `${name}.safetensors`), ...Object.keys(checksums), ...there]);
  const loaded: [string, Safetensors][] = [];
  for (const name of names) {
    const path = join(folder, name);
    if (!exists(path)) throw new InputError(`${path} is missing`);
    await requireChecksum(path, checksums[name]);
    loaded.push([name.replace(/\.safetensors$/, ""), await tensorsIn(path)]);
  }
  return {
    files: Object.fromEntries(loaded.map(([name, { tensors }]) => [name, tensors])),
    metadata: Object.fromEntries(loaded.map(([name, { metadata }]) => [name, metadata])),
    state,
  };
}

async function tensorsIn(path: string): Promise<Safetensors> {
  const source = await openByteRanges(path);
  return readSafetensors(source).finally(() => source.close());
}

/** Another name for a damaged checkpoint, under which it does not count: nothing of it is lost. Returns the new path. */
export async function setAside(folder: string): Promise<string> {
  for (let n = 1; ; n++) {
    const name = `damaged-${basename(folder)}${n === 1 ? "" : `-${n}`}`;
    const target = join(dirname(folder), name);
    if (exists(target)) continue;
    await publishDirectory(folder, target);
    return target;
  }
}
