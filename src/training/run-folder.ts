/** A run on disk: its settings, one line per logged step, and checkpoints that appear whole or not at all. */
import { join } from "node:path";
import { InputError, isObject } from "../array/input-error.ts";
import { appendLine, readLines, truncateLines } from "../storage/append-lines.ts";
import { makeFolder, remove, removeIfEmpty, removeTemporaries, writeAtomically } from "../storage/atomic-write.ts";
import { lockFolder } from "../storage/lock.ts";
import { exists, listFolder, readJson, readText } from "../storage/read.ts";
import {
  type Checkpoint,
  checkpointSteps,
  readCheckpoint,
  setAside,
  type WrittenCheckpoint,
  writeCheckpoint,
} from "./checkpoint-folder.ts";
import { type Acquired, type AcquireOptions, compareSettings, type RunSettings } from "./run-settings.ts";

/** One line of `metrics.jsonl`. */
export interface MetricsLine extends Readonly<Record<string, unknown>> {
  readonly step: number;
}

/** What a run leaves besides its settings: a folder with any of these and without settings has lost them. */
const traces = ["metrics.jsonl", "decision.json", "widths.json", "pruned.safetensors"];

/** Where a run resumes. */
export interface RunState {
  /** Completed steps: 0 for a new run, and for one without checkpoints. */
  readonly step: number;
  readonly checkpoint?: Checkpoint;
  /** What is lost of the run, each in one line. */
  readonly warnings: readonly string[];
}

export class RunFolder {
  readonly path: string;
  readonly #release: () => void;
  /** Folders that were made for this one, the outermost first. */
  readonly #made: readonly string[];
  /** What was in it before. */
  readonly #before: ReadonlySet<string>;
  #settingsBefore: string | undefined;

  private constructor(path: string, release: () => void, made: readonly string[]) {
    this.path = path;
    this.#release = release;
    this.#made = made;
    this.#before = new Set(listFolder(path).map(({ name }) => name));
  }

  /** Takes the folder for this process, making it if needed. @throws InputError if another process holds it. */
  static open(path: string): RunFolder {
    const made = makeFolder(path);
    let folder: RunFolder;
    try {
      folder = new RunFolder(path, lockFolder(path), made);
    } catch (error) {
      for (const empty of made.toReversed()) removeIfEmpty(empty);
      throw error;
    }
    makeFolder(join(path, "checkpoints"));
    removeTemporaries(path);
    removeTemporaries(join(path, "checkpoints"));
    return folder;
  }

  close(): void {
    this.#release();
  }

  /**
   * Gives the folder back as it was found: for a start that failed. `results` are files that it may have written; what
   * was there before stays.
   */
  async abandon(results: readonly string[] = []): Promise<void> {
    try {
      const settings = join(this.path, "config.json");
      if (this.#settingsBefore !== undefined) await writeAtomically(settings, this.#settingsBefore);
      for (const name of ["config.json", ...results]) if (!this.#before.has(name)) remove(join(this.path, name));
      if (!this.#before.has("checkpoints")) removeIfEmpty(join(this.path, "checkpoints"));
    } finally {
      this.#release();
    }
    for (const empty of this.#made.toReversed()) removeIfEmpty(empty);
  }

  /**
   * Writes the settings of a new run, or checks those of an existing one: `steps` may only grow, with `extend`.
   * @throws InputError naming every other setting that differs, for a run whose settings are lost or damaged, or for one
   *   to extend whose checkpoints are gone.
   */
  async acquire(config: RunSettings, options: AcquireOptions = {}): Promise<Acquired> {
    const file = join(this.path, "config.json");
    const now = JSON.parse(JSON.stringify(config)) as RunSettings;
    if (!exists(file)) {
      this.#requireNoRun();
      await this.#write(now);
      return { warnings: [] };
    }
    const before = this.#settings(file);
    const { settings, ...acquired } = compareSettings(this.path, before, now, options);
    const begun = this.#begunWithoutCheckpoint();
    if (begun !== undefined && options.extend !== undefined) {
      throw new InputError(
        `${begun}, so there is nothing to extend; restore a checkpoint, choose another \`out\`, or leave \`extend\` out to start over`,
      );
    }
    this.#settingsBefore = readText(file);
    await this.#write(settings);
    return acquired;
  }

  #write(settings: RunSettings): Promise<void> {
    return writeAtomically(join(this.path, "config.json"), `${JSON.stringify(settings, null, 2)}\n`);
  }

  #settings(file: string): RunSettings {
    const advice = "restore it, choose another `out`, or delete the folder to start over";
    let found: unknown;
    try {
      found = readJson(file);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      throw new InputError(`${error.message}; without it the settings of the run are lost: ${advice}`);
    }
    if (isObject(found)) return found;
    throw new InputError(`${file}: expected the settings of the run, found ${JSON.stringify(found)}; ${advice}`);
  }

  /** @throws InputError if there is a run whose settings are gone: under other ones it would be another run. */
  #requireNoRun(): void {
    const steps = this.checkpoints().map((step) => this.checkpointPath(step));
    const found = [...steps, ...traces.map((name) => join(this.path, name))].find(exists);
    if (found === undefined) return;
    throw new InputError(
      `${this.path} holds a run (${found}) without its config.json, so its settings are lost; ` +
        "restore that file, choose another `out`, or delete the folder to start over",
    );
  }

  /** What there is of a run that has no checkpoint: stopped before its first, or deleted; undefined if there is none. */
  #begunWithoutCheckpoint(): string | undefined {
    if (this.checkpoints().length > 0) return undefined;
    const logged = this.metrics().at(-1)?.step;
    const result = traces.slice(1).find((name) => exists(join(this.path, name)));
    if (logged === undefined && result === undefined) return undefined;
    const found = logged === undefined ? `holds ${result}` : `holds the log of a run up to step ${logged}`;
    return `${this.path} ${found}, but no checkpoint of it`;
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
    return checkpointSteps(this.path);
  }

  checkpointPath(step: number): string {
    return join(this.path, "checkpoints", `step-${String(step).padStart(8, "0")}`);
  }

  /** Publishes a checkpoint and removes all but the last `keep`, at least 1. */
  async save(step: number, checkpoint: WrittenCheckpoint, keep: number): Promise<void> {
    if (!(keep >= 1)) throw new RangeError(`expected to keep at least 1 checkpoint, got ${keep}`);
    const target = this.checkpointPath(step);
    if (exists(target)) return;
    await writeCheckpoint(target, checkpoint);
    for (const old of this.checkpoints().slice(0, -keep)) remove(this.checkpointPath(old));
  }

  /**
   * The latest whole checkpoint, after cutting the metrics back to its step; none for a new run, and, with a warning,
   * for one that has lost its checkpoints or never had any. Damaged ones after it are set aside, each with a warning.
   * `expected` names the files of one, where that is known.
   * @throws InputError naming every checkpoint, if all are damaged.
   */
  async latest(expected: readonly string[] = []): Promise<RunState> {
    const damaged: { folder: string; why: string }[] = [];
    for (const step of this.checkpoints().reverse()) {
      const folder = this.checkpointPath(step);
      try {
        const checkpoint = await readCheckpoint(folder, expected);
        const warnings: string[] = [];
        for (const { folder, why } of damaged)
          warnings.push(`${why}; going back to step ${step}, the damaged checkpoint is now ${await setAside(folder)}`);
        await this.#cutMetrics(step);
        return { step, checkpoint, warnings };
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        damaged.push({ folder, why: error.message });
      }
    }
    if (damaged.length > 0)
      throw new InputError(
        `${this.path} has no checkpoint that is whole (${damaged.map(({ why }) => why).join("; ")}). ` +
          "Restore one of them, choose another `out`, or delete the folder to start over.",
      );
    const begun = this.#begunWithoutCheckpoint();
    await this.#cutMetrics(0);
    return { step: 0, warnings: begun === undefined ? [] : [`${begun}: starting over at step 0`] };
  }

  async #cutMetrics(step: number): Promise<void> {
    await truncateLines(join(this.path, "metrics.jsonl"), (line) => (line as MetricsLine).step <= step);
  }
}
