/** The folder of `sample`: locked while it samples, and replaced only on request if its samples have other settings. */
import { join } from "node:path";
import { InputError } from "../array/input-error.ts";
import { sampledName } from "../evaluation/images/open-image-set.ts";
import {
  type Content,
  remove,
  removeIfEmpty,
  removeTemporaries,
  requireWritableFile,
  requireWritableFolder,
  writeAtomically,
} from "../storage/atomic-write.ts";
import { lockFolder } from "../storage/lock.ts";
import { exists, jsonIfAny } from "../storage/read.ts";
import { settingChanges } from "../storage/same-settings.ts";

const names = { samples: sampledName, record: "samples.json", grid: "grid.png" } as const;

/** What samples depend on, as `samples.json` records it. */
export interface SampleSource {
  readonly modelFile: { readonly sha256: string; readonly weights: string; readonly config: object };
  readonly settings: Readonly<Record<string, unknown>>;
  /** Of the grid. */
  readonly decoder?: { readonly sha256: string; readonly tiled: boolean };
}

/**
 * Locks the folder before any time is spent. The same settings may sample into it again; others need `overwrite`.
 * @throws InputError for a place where nothing can be written, a folder in use, or samples of other settings, naming them.
 */
export function openSampleFolder(out: string, source: SampleSource, overwrite: boolean) {
  requireWritableFolder(out);
  const isNew = !exists(out);
  const unlock = lockFolder(out);
  /** Unlocks the folder; a new one is removed if nothing was written. */
  const close = () => {
    unlock();
    if (isNew) removeIfEmpty(out);
  };
  /** Writes the samples, their grid and, last of all, `samples.json`; returns the paths. */
  const write = async (samples: Content, grid: Content | undefined, record: object) => {
    // If this is killed in between, no old file must seem to belong to a new one.
    if (others !== undefined) for (const name of [names.record, names.grid]) remove(join(out, name));
    await writeAtomically(join(out, names.samples), samples);
    if (grid) await writeAtomically(join(out, names.grid), grid);
    await writeAtomically(join(out, names.record), `${JSON.stringify(record, null, 2)}\n`);
    return { samples: join(out, names.samples), grid: grid && join(out, names.grid) };
  };
  let others: string | undefined;
  try {
    removeTemporaries(out);
    for (const name of Object.values(names)) requireWritableFile(join(out, name));
    others = otherSamples(out, source);
    if (others !== undefined && !overwrite)
      throw new InputError(`${out} ${others}; choose another \`out\`, or replace them with \`overwrite\``);
    return { close, write };
  } catch (error) {
    close();
    throw error;
  }
}

/** Other threads or another device change no more than rounding; scores are added to the same images. */
const ignored = /^settings\.(threads|device|evaluate)(\.|$)/;

/** How the samples in the folder differ; undefined for none, or for those of the same source. */
function otherSamples(out: string, { modelFile, settings, decoder }: SampleSource): string | undefined {
  const path = join(out, names.record);
  if (!exists(path)) {
    const found = [names.samples, names.grid].find((name) => exists(join(out, name)));
    return found && `holds ${found} without ${names.record}, which would say how it was made`;
  }
  const before = jsonIfAny(path) as Partial<SampleSource> | null | undefined;
  if (!before) return `holds a ${names.record} that is damaged`;
  const now = { ...modelOf(modelFile), settings, decoder: before.decoder && decoder };
  const was = {
    ...modelOf(before.modelFile),
    settings: before.settings,
    decoder: decoder && before.decoder && { sha256: before.decoder.sha256, tiled: before.decoder.tiled },
  };
  const changed = [...settingChanges(was, JSON.parse(JSON.stringify(now)))];
  const lines = changed.flatMap(([name, line]) => (ignored.test(name) ? [] : [line]));
  return lines.length > 0 ? `holds samples with other settings (${lines.join("; ")})` : undefined;
}

/** What of a model decides about images: its configuration need not be in its file. */
const modelOf = ({ sha256, weights, config }: Partial<SampleSource["modelFile"]> = {}) => ({ sha256, weights, config });
