/** A command: settings of a task as flags and arguments, and the lines that are printed about its result. */

import type { SettingTable, Values } from "../tasks/settings.ts";
import type { TaskSettings } from "../tasks/task.ts";

export interface Output {
  /** Prints a line of results to stdout. */
  print(line: string): void;
  /** Prints a line of progress to stderr. */
  note(line: string): void;
}

export interface Command<T extends SettingTable = SettingTable, F extends SettingTable = SettingTable> {
  readonly name: string;
  readonly summary: string;
  /** Settings of the task. */
  readonly settings: T;
  /** Those of them that are arguments, in this order. */
  readonly positional?: readonly (keyof T & string)[];
  /** Flags of the command alone. */
  readonly flags?: F;
  /** Shown at the end of `--help`. */
  readonly examples: readonly string[];
  /** Printed when a signal stopped the task; by default that nothing was written. */
  readonly stopped?: string;
  /** Calls the task with what was typed; returns the lines to print. @throws Stopped for a run that can be resumed. */
  run(settings: TaskSettings<T>, flags: Values<F>, output: Output): Promise<readonly string[]>;
}

/** A task that a signal stopped and that saved what it had: its lines are printed, and the exit code is `STOPPED`. */
export class Stopped extends Error {
  override readonly name = "Stopped";
  readonly lines: readonly string[];

  constructor(...lines: readonly string[]) {
    super(lines[0]);
    this.lines = lines;
  }
}

/** Exit code of a command that was stopped by a signal. */
export const STOPPED = 130;

/** Keeps the setting types of a command literal. */
export function command<const T extends SettingTable, const F extends SettingTable = Record<never, never>>(
  definition: Command<T, F>,
): Command<T, F> {
  return definition;
}

export const dryRunFlag = {
  dryRun: { kind: "flag", help: "plan and cost only; nothing is written" },
} as const satisfies SettingTable;

export const jsonFlag = { json: { kind: "flag", help: "output as JSON" } } as const satisfies SettingTable;
