/** A checkpoint as a folder: safetensors, and a `state.json` that holds their checksums and one of its own. */
import { basename, dirname, join } from "node:path";
import { InputError } from "../array/input-error.ts";
import { NDArray } from "../array/ndarray.ts";
import type { DeviceArray } from "../engine/engine.ts";
import { readSafetensors, type Safetensors } from "../formats/safetensors.ts";
import { streamSafetensors, type WritableTensor } from "../formats/safetensors-write.ts";
import { publishDirectory, remove, temporaryFolder, writeAtomically } from "../storage/atomic-write.ts";
import { type FileChecksum, readState, requireChecksum, writeWithChecksum } from "../storage/checksums.ts";
import { sealed } from "../storage/json.ts";
import { exists, listFolder, withByteRanges } from "../storage/read.ts";

/** The files of a checkpoint: tensors and metadata by file name (without extension), and a JSON state. */
export interface Checkpoint<T = NDArray> {
  readonly files: Readonly<Record<string, ReadonlyMap<string, T>>>;
  readonly metadata: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly state: Readonly<Record<string, unknown>>;
}

/** One as it is written: arrays of a device are read one at a time. */
export type WrittenCheckpoint = Checkpoint<NDArray | DeviceArray>;

/** Steps of the complete checkpoints of a run, ascending. */
export function checkpointSteps(run: string): number[] {
  return listFolder(join(run, "checkpoints"))
    .flatMap(({ name }) => /^step-(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/** Publishes a checkpoint as the folder `target`: whole or not at all. */
export async function writeCheckpoint(target: string, { files, metadata, state }: WrittenCheckpoint): Promise<void> {
  const folder = temporaryFolder(target);
  const checksums: Record<string, FileChecksum> = {};
  try {
    for (const [name, tensors] of Object.entries(files)) {
      const file = `${name}.safetensors`;
      const written = streamSafetensors(Array.from(tensors, writable), metadata[name] ?? {});
      checksums[file] = await writeWithChecksum(join(folder, file), written);
    }
    const whole = sealed({ ...state, checksums });
    await writeAtomically(join(folder, "state.json"), `${JSON.stringify(whole)}\n`);
    await publishDirectory(folder, target);
  } catch (error) {
    remove(folder);
    throw error;
  }
}

function writable([name, x]: readonly [string, NDArray | DeviceArray]): WritableTensor {
  const { dtype, shape } = x;
  return { name, dtype, shape, read: async () => (x instanceof NDArray ? x : x.read()) };
}

/**
 * Reads a checkpoint, which must hold the files `expected`, if that is known; every file is compared with its checksum.
 * One from before there were checksums is read as it is.
 * @throws InputError naming everything that is missing or damaged.
 */
export async function readCheckpoint(folder: string, expected: readonly string[] = []): Promise<Checkpoint> {
  const problems: string[] = [];
  const unlessDamaged = async <T>(read: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      problems.push(error.message);
      return undefined;
    }
  };
  const { state, checksums } = (await unlessDamaged(() => stateOf(folder))) ?? { state: {}, checksums: {} };
  const loaded: [string, Safetensors][] = [];
  for (const name of (await unlessDamaged(() => namesIn(folder, [...expected, ...Object.keys(checksums)]))) ?? []) {
    const path = join(folder, `${name}.safetensors`);
    const found = await unlessDamaged(async () => {
      if (!exists(path)) throw new InputError(`${path} is missing`);
      await requireChecksum(path, checksums[name]);
      return tensorsIn(path);
    });
    if (found) loaded.push([name, found]);
  }
  if (problems.length > 0) throw new InputError(problems.join("; "));
  return {
    files: Object.fromEntries(loaded.map(([name, { tensors }]) => [name, tensors])),
    metadata: Object.fromEntries(loaded.map(([name, { metadata }]) => [name, metadata])),
    state,
  };
}

/** The state, and the checksums of files by name without extension. */
function stateOf(folder: string): { state: Record<string, unknown>; checksums: Record<string, FileChecksum> } {
  const { state, checksums } = readState(folder);
  const step = /^step-(\d+)$/.exec(basename(folder))?.[1];
  if (step !== undefined && state.step !== undefined && state.step !== Number(step))
    throw new InputError(`${join(folder, "state.json")} is that of step ${state.step}`);
  const named = Object.entries(checksums).map(([name, checksum]) => [name.replace(/\.safetensors$/, ""), checksum]);
  return { state, checksums: Object.fromEntries(named) };
}

/** Names of the safetensors that are there, and of those that should be. */
function namesIn(folder: string, wanted: readonly string[]): Set<string> {
  const there = listFolder(folder).flatMap(({ name }) => /^(.+)\.safetensors$/.exec(name)?.[1] ?? []);
  return new Set([...wanted, ...there]);
}

const tensorsIn = (path: string): Promise<Safetensors> => withByteRanges(path, readSafetensors);

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
