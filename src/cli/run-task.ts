/** The part that `train`, `prune` and `finetune` share: run folder, loop, progress; or the plan, with `--dry-run`. */

import type { TrainingSet } from "../data/training-set.ts";
import { cpuEngine } from "../onnx/node-engine.ts";
import type { Engine } from "../onnx/session.ts";
import { remove } from "../storage/atomic-write.ts";
import { exists } from "../storage/read.ts";
import { type LoopHooks, type LoopResult, runLoop, type Task } from "../training/loop.ts";
import { RunFolder } from "../training/run-folder.ts";
import { type CommandContext, STOPPED } from "./command.ts";
import { dryRun, type Planned } from "./dry-run.ts";
import { required, type Values } from "./option.ts";
import type { loopOptions } from "./shared-options.ts";
import { bytesText } from "./table.ts";
import { versions } from "./version.ts";

export interface TaskRun {
  readonly command: string;
  readonly values: Values<typeof loopOptions> & {
    readonly steps: number;
    readonly batchSize: number;
    readonly microBatch?: number | undefined;
  };
  /** Further facts that must be the same when the run is resumed. */
  readonly facts: Readonly<Record<string, unknown>>;
  readonly context: CommandContext;
  /** Closed at the end. */
  readonly data: TrainingSet;
  /** For `--dry-run`. */
  readonly plan: Planned;
  /** Builds the task; called once the folder is this process's own. */
  readonly task: (engine: Engine) => Promise<Task>;
  readonly hooks?: (run: { path: string; task: Task; engine: Engine }) => Pick<LoopHooks, "afterStep">;
  /** Called when all steps are done; its lines are the command's result. */
  readonly finish: (folder: RunFolder, result: LoopResult, engine: Engine) => Promise<readonly string[]>;
}

/** Runs a task in its folder to the end or to the first signal; returns the exit code. */
export async function runTask(run: TaskRun): Promise<number> {
  const { values, data } = run;
  try {
    return await (values.dryRun ? dryRun({ ...run, settings: repeatable(values) }) : runInFolder(run));
  } finally {
    await data.release?.();
  }
}

async function runInFolder(run: TaskRun): Promise<number> {
  const { command, values, facts, context, finish } = run;
  const out = required("out", values.out);
  const isNew = !exists(out);
  let task: Task | undefined;
  const folder = RunFolder.open(out);
  try {
    const config = { command, ...repeatable(values), ...facts, versions: versions() };
    for (const warning of await folder.claim(config, values.extend)) {
      context.note(`resuming with another setting, so equal only to about 1e-5: ${warning}`);
    }
    const engine = cpuEngine({ threads: values.threads });
    task = await run.task(engine);
    const result = await runLoop(task, folder, values, {
      onStart: (step) =>
        context.note(
          step > 0
            ? `${command}: resumed at step ${step} of ${values.steps}`
            : `${command}: ${values.steps} steps in ${folder.path}`,
        ),
      onProgress: (progress) => context.progress(progress),
      signal: context.signal,
      ...run.hooks?.({ path: folder.path, task, engine }),
    });
    if (result.skipped > 0) context.note(`${result.skipped} steps were skipped: their loss was not finite`);
    if (!result.finished) {
      context.print(`stopped at step ${result.step}; the same command resumes`);
      return STOPPED;
    }
    for (const line of await finish(folder, result, engine)) context.print(line);
    context.note(`peak memory ${bytesText(process.resourceUsage().maxRSS * 1024)}`);
    return 0;
  } finally {
    folder.close();
    if (isNew && !task) remove(out); // a run that could not even be built leaves nothing behind
    await task?.release?.();
  }
}

/** The options that must be the same for a run to be resumed. */
export function repeatable(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const free = ["out", "extend", "dryRun", "onNan", "logEvery", "saveEvery", "keepCheckpoints", "verify"];
  const pictures = ["sampleEvery", "sampleCount"];
  // Runs of before this option was there must still be resumed by their own command lines.
  const isNew = (name: string, value: unknown) => name === "flip" && value === false;
  return Object.fromEntries(
    Object.entries(values).filter(([name, value]) => ![...free, ...pictures].includes(name) && !isNew(name, value)),
  );
}
