/** The part that `train`, `prune` and `finetune` share: run folder, loop, progress. */

import { type LoopHooks, type LoopResult, runLoop, type Task } from "../training/loop.ts";
import { RunFolder } from "../training/run-folder.ts";
import type { CommandContext } from "./command.ts";
import { required, type Values } from "./option.ts";
import { progressPrinter } from "./progress.ts";
import type { loopOptions } from "./shared-options.ts";
import { versions } from "./version.ts";

/** Exit code of a run that was stopped by a signal and can be resumed. */
export const STOPPED = 130;

export interface TaskRun {
  readonly command: string;
  readonly values: Values<typeof loopOptions> & { readonly steps: number };
  /** Further facts that must be the same when the run is resumed. */
  readonly facts: Readonly<Record<string, unknown>>;
  readonly context: CommandContext;
  /** Builds the task; called once the folder is this process's own. */
  readonly task: (folder: RunFolder) => Promise<Task>;
  readonly hooks?: (folder: RunFolder) => Pick<LoopHooks, "afterStep">;
  /** Called when all steps are done; its lines are the command's result. */
  readonly finish: (folder: RunFolder, result: LoopResult) => Promise<readonly string[]>;
}

/** Runs a task in its folder to the end or to the first signal; returns the exit code. */
export async function runTask({ command, values, facts, context, task, hooks, finish }: TaskRun): Promise<number> {
  const folder = RunFolder.open(required("out", values.out));
  try {
    const config = { command, ...repeatable(values), ...facts, versions: versions() };
    for (const warning of await folder.claim(config, values.extend)) {
      context.note(`resuming with another setting, so equal only to about 1e-5: ${warning}`);
    }
    const result = await runLoop(await task(folder), folder, values, {
      onStart: (step) =>
        context.note(
          step > 0
            ? `${command}: resumed at step ${step} of ${values.steps}`
            : `${command}: ${values.steps} steps in ${folder.path}`,
        ),
      onProgress: progressPrinter(),
      signal: context.signal,
      ...hooks?.(folder),
    });
    if (result.skipped > 0) context.note(`${result.skipped} steps were skipped: their loss was not finite`);
    if (!result.finished) {
      context.print(`stopped at step ${result.step}; the same command resumes`);
      return STOPPED;
    }
    for (const line of await finish(folder, result)) context.print(line);
    return 0;
  } finally {
    folder.close();
  }
}

/** The options that must be the same for a run to be resumed. */
function repeatable(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const free = new Set(["onNan", "out", "extend", "dryRun", "logEvery", "saveEvery", "keepCheckpoints", "sampleEvery"]);
  return Object.fromEntries(Object.entries(values).filter(([name]) => !free.has(name)));
}
