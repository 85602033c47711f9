/** What every task takes besides its settings, and how it starts: checks, defaults, who stops it, who listens, what computes. */
import { availableParallelism } from "node:os";
import type { TrainingSet } from "../data/training-set.ts";
import { type DeviceName, openDevice } from "../engine/devices.ts";
import type { Engine } from "../engine/engine.ts";
import { localPath } from "../storage/download/local-path.ts";
import { parseLocation } from "../storage/download/location.ts";
import { type DownloadOptions, downloadSettings } from "../storage/download/settings.ts";
import type { Progress } from "../training/loop.ts";
import { refuseFileNames } from "./output-names.ts";
import {
  type Given,
  givenNames,
  quoted,
  refuseIgnored,
  resolveValues,
  type SettingTable,
  type Values,
} from "./settings.ts";

export interface TaskHooks {
  /** Stops the task: a training run saves a checkpoint and ends, everything else throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Receives what a person should know: a default that was chosen, a setting that is unusual, a file that is odd. */
  readonly onNote?: ((line: string) => void) | undefined;
  /** Computes instead of the task's `device` with its `threads`. */
  readonly engine?: Engine | undefined;
  /** The command line that repeats the task, for its report. */
  readonly command?: string | undefined;
  /** How weights that are named by an address are downloaded. */
  readonly downloads?: Downloads | undefined;
  /** Examples to learn from, instead of those that `data` names. */
  readonly trainingSet?: TrainingSet | undefined;
}

export interface Downloads extends Pick<DownloadOptions, "verify" | "progress"> {
  /** Environment variables that say where downloads come from and go to; by default those of the process. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** The one argument of a task: its settings by name, those with a default may be left out, and hooks. */
export type TaskSettings<T extends SettingTable> = Given<T> & TaskHooks;

/** The same for the functions inside of a task. */
export interface TaskContext {
  readonly signal: AbortSignal;
  /** The settings that the caller named. */
  readonly given: ReadonlySet<string>;
  readonly note: (line: string) => void;
  readonly progress: (progress: Progress) => void;
  /** Opens what the task computes on. */
  readonly engine: () => Engine;
  readonly command: string | undefined;
  readonly trainingSet: TrainingSet | undefined;
}

/**
 * Checks the settings of a task, fills in the defaults and downloads weights that are named by an address.
 * @throws SettingError for a setting that does not exist or does not fit; InputError for weights that cannot be downloaded.
 */
export async function startTask<T extends SettingTable>(
  table: T,
  settings: TaskSettings<T>,
): Promise<{ readonly values: Values<T>; readonly context: TaskContext }> {
  const {
    signal = new AbortController().signal,
    onProgress,
    onNote,
    engine,
    command,
    downloads = {},
    trainingSet,
    ...named
  } = settings;
  const given = givenNames(named);
  if (given.has("modelConfig")) refuseIgnored(given, quoted("modelConfig"), ["model"], "both say which model it is");
  const note = onNote ?? (() => undefined);
  const values = withinCores(resolveValues(table, { ...deviceOf(table), ...named }), given, note);
  refuseFileNames(table, values);
  const { device = "cpu", threads } = values as { readonly device?: DeviceName; readonly threads?: number };
  return {
    values: { ...values, ...(await downloaded(table, values, downloads, signal, note)) },
    context: {
      signal,
      given,
      note,
      progress: onProgress ?? (() => undefined),
      engine: () => engine ?? openDevice(device, { threads }),
      command,
      trainingSet,
    },
  };
}

/** The default of `device`, if the environment has one: so every command of a script or a test suite runs on another device. */
function deviceOf(table: SettingTable): Record<string, unknown> {
  const { TINYFUSION_DEVICE: device } = process.env;
  return "device" in table && device ? { device } : {};
}

/** More threads than cores only get into each other's way. */
function withinCores<V>(values: V, given: ReadonlySet<string>, note: (line: string) => void): V {
  const cores = availableParallelism();
  const { threads } = values as { readonly threads?: number };
  if (!given.has("threads") || threads === undefined || threads <= cores) return values;
  note(`\`threads\` ${threads} is more than this machine has; using ${cores}`);
  return { ...values, threads: cores };
}

/** Paths in the place of addresses of weights. */
async function downloaded(
  table: SettingTable,
  values: Values<SettingTable>,
  { env = process.env, ...options }: Downloads,
  signal: AbortSignal,
  notice: (line: string) => void,
): Promise<Record<string, string>> {
  const paths: Record<string, string> = {};
  for (const [name, value] of Object.entries(values)) {
    if (table[name]?.kind !== "weights" || typeof value !== "string" || parseLocation(value).kind === "path") continue;
    paths[name] = await localPath(value, { ...downloadSettings(env), ...options, signal, notice });
  }
  return paths;
}

/** Reports how many of the images are done, and the time left at the pace of those that were not done before. */
export function imageProgress({ progress }: Pick<TaskContext, "progress">) {
  const started = performance.now();
  return (done: number, fresh: number, of: number): void => {
    const pace = (1000 * fresh) / (performance.now() - started);
    const secondsLeft = fresh > 0 ? (of - done) / pace : Number.NaN;
    progress({ step: done, steps: of, images: done, secondsLeft, line: { "images/s": pace }, isTransient: true });
  };
}
