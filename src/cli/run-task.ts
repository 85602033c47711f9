/** What the commands that train share: run folder, loop, progress; or the plan, with `--dry-run`. */

import type { TrainingSet } from "../data/training-set.ts";
import type { Engine } from "../engine/engine.ts";
import { cpuEngine } from "../engine/onnx/node-engine.ts";
import { required, type Values } from "../tasks/settings.ts";
import type { loopSettings } from "../tasks/shared-settings.ts";
import { versions } from "../tasks/version.ts";
import { type LoopHooks, type LoopResult, runLoop, type Task } from "../training/loop.ts";
import type { SchedulePlan } from "../training/rates.ts";
import { RunFolder } from "../training/run-folder.ts";
import { type CommandContext, STOPPED } from "./command.ts";
import { dryRun, type Planned } from "./dry-run.ts";
import { extensionText } from "./extension-text.ts";
import { bytesText } from "./table.ts";

export interface TaskRun {
  readonly command: string;
  readonly values: Values<typeof loopSettings> & {
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
  readonly task: (engine: Engine, plan: SchedulePlan) => Promise<Task>;
  /** What changes with the step number, by name, at step k (from 0). */
  readonly schedules: (plan: SchedulePlan, k: number) => Readonly<Record<string, number>>;
  /** The weights that a new run starts from; its optimizer is fresh. */
  readonly start?: string | undefined;
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

const startOf = ({ start }: TaskRun): string => (start === undefined ? "" : `, from ${start}, with a fresh optimizer`);

async function runInFolder(run: TaskRun): Promise<number> {
  const { command, values, facts, context, finish } = run;
  const folder = RunFolder.open(required("out", values.out));
  let task: Task | undefined;
  let isStarted = false;
  try {
    const config = { command, ...repeatable(values), ...facts, versions: versions() };
    const acquired = await folder.acquire(config, { extend: values.extend, locations });
    for (const warning of acquired.warnings) {
      context.note(`resuming with another setting, so equal only to about 1e-5: ${warning}`);
    }
    const plan = { steps: values.steps, scheduleSteps: acquired.scheduleSteps };
    const engine = cpuEngine({ threads: values.threads });
    task = await run.task(engine, plan);
    const result = await runLoop(task, folder, values, {
      onStart(step) {
        isStarted = true;
        const resumed = `${command}: resumed at step ${step} of ${values.steps}`;
        context.note(step > 0 ? resumed : `${command}: ${values.steps} steps in ${folder.path}${startOf(run)}`);
        const extension = acquired.extended && extensionText(acquired.extended, plan, step, run.schedules);
        if (extension) context.note(extension);
      },
      onWarning: (line) => context.note(line),
      onProgress: (progress) => context.progress(progress),
      signal: context.signal,
      ...run.hooks?.({ path: folder.path, task, engine }),
    });
    if (result.skipped > 0)
      context.note(
        `${result.skipped === 1 ? "1 step was skipped: its" : `${result.skipped} steps were skipped: their`} loss was not finite`,
      );
    if (!result.finished) {
      context.print(`stopped at step ${result.step}; the same command resumes`);
      return STOPPED;
    }
    for (const line of await finish(folder, result, engine)) context.print(line);
    context.note(`peak memory ${bytesText(process.resourceUsage().maxRSS * 1024)}`);
    return 0;
  } finally {
    if (isStarted) folder.close();
    else await folder.abandon(); // a run that could not even be built leaves nothing behind
    await task?.release?.();
  }
}

/** Options that say where something is, and the setting that records its content. */
export const locations: Readonly<Record<string, string>> = {
  data: "dataSha256",
  labels: "dataSha256",
  init: "initSha256",
  model: "modelConfiguration",
  modelConfig: "modelConfiguration",
};

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
