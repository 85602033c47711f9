/** What every task takes besides its settings, and how it starts: checks, defaults, who stops it, who listens, what computes. */
import type { Engine } from "../engine/engine.ts";
import { cpuEngine } from "../engine/onnx/node-engine.ts";
import type { Progress } from "../training/loop.ts";
import { type Given, givenNames, resolveValues, type SettingTable, type Values } from "./settings.ts";

export interface TaskHooks {
  /** Stops the task: a training run saves a checkpoint and ends, everything else throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Receives what a person should know: a default that was chosen, a setting that is unusual, a file that is odd. */
  readonly onNote?: ((line: string) => void) | undefined;
  /** Computes instead of an engine of the CPU with the task's `threads`. */
  readonly engine?: Engine | undefined;
  /** The command line that repeats the task, for its report. */
  readonly command?: string | undefined;
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
  readonly engine: (threads: number) => Engine;
  readonly command: string | undefined;
}

/**
 * Checks the settings of a task and fills in the defaults.
 * @throws SettingError for a setting that does not exist or does not fit.
 */
export function startTask<T extends SettingTable>(
  table: T,
  settings: TaskSettings<T>,
): { readonly values: Values<T>; readonly context: TaskContext } {
  const { signal, onProgress, onNote, engine, command, ...given } = settings;
  return {
    values: resolveValues(table, given),
    context: {
      signal: signal ?? new AbortController().signal,
      given: givenNames(given),
      note: onNote ?? (() => undefined),
      progress: onProgress ?? (() => undefined),
      engine: (threads) => engine ?? cpuEngine({ threads }),
      command,
    },
  };
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
