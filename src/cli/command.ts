/** A command: its options, and what it does with their values. */

import type { SettingTable, Values } from "../tasks/settings.ts";
import type { TaskHooks } from "../tasks/task.ts";
import type { Progress } from "../training/loop.ts";
import { commandLine, type Typed } from "./command-line.ts";

export interface CommandContext {
  /** Aborted by the first Ctrl-C: finish the step, save, stop. */
  readonly signal: AbortSignal;
  /** Options that the user named; the others have their defaults. */
  readonly given: ReadonlySet<string>;
  readonly typed: Typed;
  /** Prints a line of results to stdout. */
  print(line: string): void;
  /** Prints a line of progress to stderr. */
  note(line: string): void;
  /** Shows how far a run is, on stderr. */
  progress(progress: Progress): void;
}

export interface Command<T extends SettingTable = SettingTable> {
  readonly name: string;
  readonly summary: string;
  readonly options: T;
  /** Positional arguments, as help shows them: `<model>`, `<first> <second>`. */
  readonly argument?: string;
  /** Shown at the end of `--help`. */
  readonly examples: readonly string[];
  /** Returns the exit code. */
  run(values: Values<T>, context: CommandContext, ...positional: (string | undefined)[]): Promise<number>;
}

/** Exit code of a command that was stopped by a signal. */
export const STOPPED = 130;

/** The result of work; undefined if it was stopped, with a note of what that leaves behind. */
export async function unlessStopped<T>(
  { signal, note }: Pick<CommandContext, "signal" | "note">,
  work: () => Promise<T>,
  left = "stopped; nothing was written",
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error;
    note(left);
    return undefined;
  }
}

/** Keeps the option types of a command literal. */
export function command<const T extends SettingTable>(definition: Command<T>): Command<T> {
  return definition;
}

/** The settings of a task: the options that were named, its positional ones, and how it reports. */
export function taskSettings<V extends object, P extends object>(
  name: string,
  values: V,
  { given, typed, signal, note, progress }: CommandContext,
  positional: P,
): Partial<V> & P & TaskHooks {
  const named = Object.fromEntries(Object.entries(values).filter(([name]) => given.has(name))) as Partial<V>;
  const command = commandLine(name, { given, typed });
  return { ...named, ...positional, signal, onNote: note, onProgress: progress, command };
}
