/** A run on disk: its settings, one line per logged step, and checkpoints that appear whole or not at all. */
import { join } from "node:path";
import { InputError } from "../array/input-error.ts";
import type { NDArray } from "../array/ndarray.ts";
import { encodeSafetensors, readSafetensors, type Safetensors } from "../formats/safetensors.ts";
import { appendLine, readLines, truncateLines } from "../storage/append-lines.ts";
import {
  makeFolder,
  publishDirectory,
  remove,
  removeTemporaries,
  temporaryFolder,
  writeAtomically,
} from "../storage/atomic-write.ts";
import { lockFolder } from "../storage/lock.ts";
import { exists, listFolder, openByteRanges, readJson } from "../storage/read.ts";

/** The files of a checkpoint: tensors and metadata by file name (without extension), and a JSON state. */
export interface Checkpoint {
  readonly files: Readonly<Record<string, ReadonlyMap<string, NDArray>>>;
  readonly metadata: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly state: Readonly<Record<string, unknown>>;
}

/** One line of `metrics.jsonl`. */
export interface MetricsLine extends Readonly<Record<string, unknown>> {
  readonly step: number;
}

export class RunFolder {
  readonly path: string;
  readonly #release: () => void;

  private constructor(path: string, release: () => void) {
    this.path = path;
    this.#release = release;
  }

  /** Takes the folder for this process, making it if needed. @throws InputError if another process holds it. */
  static open(path: string): RunFolder {
    makeFolder(join(path, "checkpoints"));
    const folder = new RunFolder(path, lockFolder(path));
    removeTemporaries(path);
    removeTemporaries(join(path, "checkpoints"));
    return folder;
  }

  close(): void {
    this.#release();
  }

  /**
   * Writes the settings of a new run, or checks those of an existing one: `steps` may only grow, with `extend`.
   * Returns what is different and costs bit-exactness only: threads and versions.
   * @throws InputError naming every other setting that differs.
   */
  async claim(config: Readonly<Record<string, unknown>>, extend = false): Promise<string[]> {
    const file = join(this.path, "config.json");
    const text = `${JSON.stringify(config, null, 2)}\n`;
    let warnings: string[] = [];
    if (exists(file)) {
      const before = readJson(file) as Record<string, unknown>;
      const now = JSON.parse(text) as Record<string, unknown>;
      const soft = (line: string) => /^(threads|versions):/.test(line);
      const longer = extend && Number(now.steps) >= Number(before.steps);
      const differences = changedSettings(before, now, longer ? ["steps"] : []);
      warnings = differences.filter(soft);
      const changed = differences.filter((line) => !soft(line));
      if (changed.length > 0) {
        throw new InputError(
          `${this.path} holds a run with other settings (${changed.join("; ")}). ` +
            `Repeat its settings to resume it, choose another --out, or delete the folder to start over.` +
            (!extend && changed.some((line) => line.startsWith("steps")) ? " To lengthen the run, add --extend." : ""),
        );
      }
    }
    await writeAtomically(file, text);
    return warnings;
  }

  log(line: MetricsLine): void {
    appendLine(join(this.path, "metrics.jsonl"), line);
  }

  metrics(): MetricsLine[] {
    const file = join(this.path, "metrics.jsonl");
    return exists(file) ? (readLines(file) as MetricsLine[]) : [];
  }

  /** Steps of the complete checkpoints, ascending. */
  checkpoints(): number[] {
    return listFolder(join(this.path, "checkpoints"))
      .flatMap(({ name }) => /^step-(\d+)$/.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
  }

  checkpointPath(step: number): string {
    return join(this.path, "checkpoints", `step-${String(step).padStart(8, "0")}`);
  }

  /** Publishes a checkpoint and removes all but the last `keep`. */
  async save(step: number, checkpoint: Checkpoint, keep: number): Promise<void> {
    const target = this.checkpointPath(step);
    if (exists(target)) return;
    const folder = temporaryFolder(target);
    try {
      for (const [name, tensors] of Object.entries(checkpoint.files)) {
        const content = encodeSafetensors(tensors, checkpoint.metadata[name] ?? {});
        await writeAtomically(join(folder, `${name}.safetensors`), content);
      }
      await writeAtomically(join(folder, "state.json"), `${JSON.stringify(checkpoint.state)}\n`);
      await publishDirectory(folder, target);
    } catch (error) {
      remove(folder);
      throw error;
    }
    for (const old of this.checkpoints().slice(0, -keep)) remove(this.checkpointPath(old));
  }

  /** The latest checkpoint, after cutting the metrics back to its step; undefined for a new run. */
  async latest(): Promise<{ step: number; checkpoint: Checkpoint } | undefined> {
    const step = this.checkpoints().at(-1);
    const metrics = join(this.path, "metrics.jsonl");
    if (exists(metrics)) await truncateLines(metrics, (line) => (line as MetricsLine).step <= (step ?? 0));
    if (step === undefined) return undefined;
    const folder = this.checkpointPath(step);
    const names = listFolder(folder).flatMap(({ name }) => /^(.+)\.safetensors$/.exec(name)?.[1] ?? []);
    const loaded: [string, Safetensors][] = [];
    for (const name of names) loaded.push([name, await tensorsIn(join(folder, `${name}.safetensors`))]);
    return {
      step,
      checkpoint: {
        files: Object.fromEntries(loaded.map(([name, { tensors }]) => [name, tensors])),
        metadata: Object.fromEntries(loaded.map(([name, { metadata }]) => [name, metadata])),
        state: readJson(join(folder, "state.json")) as Record<string, unknown>,
      },
    };
  }
}

async function tensorsIn(path: string): Promise<Safetensors> {
  const source = await openByteRanges(path);
  return readSafetensors(source).finally(() => source.close());
}

function changedSettings(
  before: Readonly<Record<string, unknown>>,
  now: Readonly<Record<string, unknown>>,
  allowed: readonly string[],
): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(now)]);
  return [...names]
    .filter((name) => !allowed.includes(name) && JSON.stringify(before[name]) !== JSON.stringify(now[name]))
    .map((name) => `${name}: was ${JSON.stringify(before[name])}, now ${JSON.stringify(now[name])}`);
}
