/** The folder of `sample`: one process's own while it samples, and never silently that of other settings. */
import { join } from "node:path";
import { InputError } from "../array/input-error.ts";
import { sampledName } from "../evaluation/images/sampled-images.ts";
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

const names = { samples: sampledName, facts: "samples.json", grid: "grid.png" } as const;

/** What samples depend on, as `samples.json` notes it. */
export interface SampleSource {
  readonly modelFile: { readonly sha256: string; readonly weights: string; readonly config: object };
  readonly settings: Readonly<Record<string, unknown>>;
  /** Of the grid. */
  readonly decoder?: { readonly sha256: string; readonly tiled: boolean };
}

export interface SampleFolder {
  /** Writes what was sampled; what `samples.json` says is written last, and holds for all of it. */
  write(samples: Content, grid: Content | undefined, facts: Readonly<Record<string, unknown>>): Promise<void>;
  /** Gives the folder back; a new one goes if nothing was written. */
  close(): void;
}

/**
 * Takes the folder before any time is spent. The same command may sample into it again; others need `overwrite`.
 * @throws InputError for a place where nothing can be written, a folder in use, or samples with other settings, naming them.
 */
export function takeSampleFolder(out: string, source: SampleSource, overwrite: boolean): SampleFolder {
  requireWritableFolder(out);
  const isNew = !exists(out);
  const unlock = lockFolder(out);
  const close = () => {
    unlock();
    if (isNew) removeIfEmpty(out);
  };
  try {
    removeTemporaries(out);
    for (const name of Object.values(names)) requireWritableFile(join(out, name));
    const others = otherSamples(out, source);
    if (others !== undefined && !overwrite) {
      throw new InputError(`${out} ${others}; choose another --out, or replace them with --overwrite`);
    }
    return {
      close,
      async write(samples, grid, facts) {
        // Killed in the middle of this, no old file may seem to belong to a new one.
        if (others !== undefined) for (const name of [names.facts, names.grid]) remove(join(out, name));
        await writeAtomically(join(out, names.samples), samples);
        if (grid) await writeAtomically(join(out, names.grid), grid);
        await writeAtomically(join(out, names.facts), `${JSON.stringify(facts, null, 2)}\n`);
      },
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** Other threads change no more than rounding; scores are added to the same images. */
const passedOver = /^settings\.(threads|evaluate)(\.|$)/;

/** In what the samples that are there differ; undefined for none, or for those of the same source. */
function otherSamples(out: string, { modelFile, settings, decoder }: SampleSource): string | undefined {
  const path = join(out, names.facts);
  if (!exists(path)) {
    const found = [names.samples, names.grid].find((name) => exists(join(out, name)));
    return found && `holds ${found} without ${names.facts}, which would say how it was made`;
  }
  const before = jsonIfAny(path) as Partial<SampleSource> | null | undefined;
  if (!before) return `holds a ${names.facts} that is damaged`;
  const now = { ...modelOf(modelFile), settings, decoder: before.decoder && decoder };
  const was = {
    ...{ ...modelOf(before.modelFile), settings: before.settings },
    decoder: decoder && before.decoder && { sha256: before.decoder.sha256, tiled: before.decoder.tiled },
  };
  const changed = [...settingChanges(was, JSON.parse(JSON.stringify(now)))];
  const lines = changed.flatMap(([name, line]) => (passedOver.test(name) ? [] : [line]));
  return lines.length > 0 ? `holds samples with other settings (${lines.join("; ")})` : undefined;
}

/** What of a model decides about images: its configuration need not be in its file. */
const modelOf = ({ sha256, weights, config }: Partial<SampleSource["modelFile"]> = {}) => ({ sha256, weights, config });
