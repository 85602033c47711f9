/** What the tasks that train share: run folder, loop, progress, and what lengthening a run means. */

import type { TrainingSet } from "../data/training-set.ts";
import type { Process } from "../diffusion/process.ts";
import type { Engine } from "../engine/engine.ts";
import type { RowCount } from "../graph/graph-cost.ts";
import type { Model } from "../models/registry.ts";
import { type LoopHooks, type LoopResult, runLoop, type Task } from "../training/loop.ts";
import type { SchedulePlan } from "../training/rates.ts";
import { RunFolder } from "../training/run-folder.ts";
import { required, SettingError, type Values } from "./settings.ts";
import type { loopSettings, optimizerSettings } from "./shared-settings.ts";
import type { TaskContext } from "./task.ts";
import { versions } from "./version.ts";

/** A run as a task describes it, to be run or planned. */
export interface TrainingJob<R extends object = object> {
  readonly command: string;
  readonly values: Values<typeof loopSettings> & {
    readonly steps: number;
    readonly batchSize: number;
    readonly microBatch?: number | undefined;
  };
  /** Further facts that must be the same when the run is resumed. */
  readonly facts: Readonly<Record<string, unknown>>;
  readonly context: TaskContext;
  /** Released at the end. */
  readonly data: TrainingSet;
  readonly planned: PlannedWork;
  /** Builds the task; called once the folder is this process's own. */
  readonly task: (engine: Engine, plan: SchedulePlan) => Promise<Task>;
  /** What changes with the step number, by name, at step k (from 0). */
  readonly schedules: SchedulesAt;
  /** The weights that a new run starts from; its optimizer is fresh. */
  readonly start?: string | undefined;
  readonly hooks?: (run: { path: string; task: Task; engine: Engine }) => Pick<LoopHooks, "afterStep">;
  /** Called at the end, however it comes. */
  readonly release?: () => Promise<void>;
  /** Called when all steps are done; returns the task's result. */
  readonly finish: (folder: RunFolder, result: LoopResult, engine: Engine) => Promise<R>;
}

/** What a plan says of a run beyond its settings. */
export interface PlannedWork {
  /** Examples of the data. */
  readonly examples: number;
  /** Rows about the model. */
  readonly rows: readonly (readonly [string, string])[];
  /** Numbers that training changes; asked once the task is built. */
  readonly trained: () => number;
  /** The model and its process, where it is one that diffuses. */
  readonly of?: { readonly model: Model; readonly process: Process };
  /** Rows of blocks, where those change from step to step: expected values. */
  readonly expectedRows?: RowCount;
  /** … and those of the moment when most memory is needed. */
  readonly peakRows?: RowCount;
}

/** A run that was stopped, with its completed steps, or the task's result. The same settings resume it. */
export type TrainingResult<R extends object> =
  | ({ readonly finished: false; readonly step: number } & { readonly [K in keyof R]?: undefined })
  | ({ readonly finished: true; readonly step: number } & R);

/**
 * Runs a job in its folder to the end, or to the signal, which leaves a checkpoint.
 * @throws InputError for a folder in use or of other settings; NonFiniteError.
 */
export async function runTraining<R extends object>(job: TrainingJob<R>): Promise<TrainingResult<R>> {
  const { command, values, facts, context, finish } = job;
  let folder: RunFolder | undefined;
  let task: Task | undefined;
  let isStarted = false;
  try {
    folder = RunFolder.open(required("out", values.out));
    const config = { command, ...repeatable(values), ...facts, versions: versions() };
    const acquired = await folder.acquire(config, { extend: values.extend, ...comparedBy });
    for (const warning of acquired.warnings) context.note(`resuming with another setting, ${closeness(warning)}`);
    const plan = { steps: values.steps, scheduleSteps: acquired.scheduleSteps };
    const engine = context.engine();
    task = await job.task(engine, plan);
    const { path } = folder;
    const result = await runLoop(task, folder, values, {
      onStart(step) {
        isStarted = true;
        const start = job.start === undefined ? "" : `, from ${job.start}, with a fresh optimizer`;
        const resumed = `${command}: resumed at step ${step} of ${values.steps}`;
        context.note(step > 0 ? resumed : `${command}: ${values.steps} steps in ${path}${start}`);
        const extension = acquired.extended && extensionText(acquired.extended, plan, step, job.schedules);
        if (extension) context.note(extension);
      },
      onWarning: context.note,
      onProgress: context.progress,
      signal: context.signal,
      ...job.hooks?.({ path, task, engine }),
    });
    const { skipped, step, finished } = result;
    if (skipped === 1) context.note("1 step was skipped: its loss was not finite");
    if (skipped > 1) context.note(`${skipped} steps were skipped: their loss was not finite`);
    if (!finished) return { finished, step } as TrainingResult<R>;
    return { finished, step, ...(await finish(folder, result, engine)) };
  } finally {
    if (isStarted) folder?.close();
    else await folder?.abandon(); // a run that could not even be built leaves nothing behind
    await task?.release?.();
    await job.release?.();
    await job.data.release?.();
  }
}

/** How near results stay to those with the setting of before: another device adds in other orders with other kernels. */
export const closeness = (change: string): string =>
  `so equal only to about ${change.startsWith("device") ? "1e-4" : "1e-5"}: ${change}`;

/** Settings that say where something is, and the setting that records its content. */
const locations: Readonly<Record<string, string>> = {
  data: "dataSha256",
  labels: "dataSha256",
  init: "initSha256",
  model: "modelConfiguration",
  modelConfig: "modelConfiguration",
};

/** How the `config.json` of an older run may call a setting. */
const renamed: Readonly<Record<string, string>> = { share: "distillWeight", kept: "blocks" };

/** What a run folder is compared by when it is found again. */
export const comparedBy = { locations, renamed };

/** The settings that must be the same for a run to be resumed. */
export function repeatable(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const free = ["out", "extend", "dryRun", "onNan", "logEvery", "saveEvery", "keepCheckpoints", "verify"];
  const pictures = ["sampleEvery", "sampleCount"];
  // Runs of before these settings were there must still be resumed by their own command lines.
  const isNew = (name: string, value: unknown) =>
    (name === "flip" && value === false) || (name === "device" && value === "cpu");
  return Object.fromEntries(
    Object.entries(values).filter(([name, value]) => ![...free, ...pictures].includes(name) && !isNew(name, value)),
  );
}

/** What changes with the step number, by name, at step k (from 0). */
export type SchedulesAt = (plan: SchedulePlan, k: number) => Readonly<Record<string, number>>;

const shown = (x: number): string => String(Number(x.toPrecision(4)));

/** For a run that resumes after `step` completed steps under another plan; undefined where no schedule changes. */
export function extensionText(
  before: SchedulePlan,
  now: SchedulePlan,
  step: number,
  schedulesAt: SchedulesAt,
): string | undefined {
  const [old, next] = [schedulesAt(before, step), schedulesAt(now, step)];
  if (now.scheduleSteps !== undefined) {
    const last = Object.entries(schedulesAt(now, now.steps)).map(([name, x]) => `${name} ${shown(x)}`);
    return `\`extend\` keep: schedules were planned for ${now.scheduleSteps} steps and then keep their last values (${last.join(", ")})`;
  }
  const jumps = Object.keys(next).filter((name) => shown(old[name]!) !== shown(next[name]!));
  if (jumps.length === 0) return undefined;
  const each = jumps.map((name) => `${name} jumps from ${shown(old[name]!)} to ${shown(next[name]!)}`);
  return `\`extend\` rewind: schedules are recomputed for ${now.steps} steps, so in step ${step + 1} ${each.join(", ")}; \`extend\` keep keeps the last values instead`;
}

type Learning = Pick<
  Values<typeof optimizerSettings>,
  "steps" | "learningRate" | "lrSchedule" | "finalLr" | "warmupSteps" | "emaDecay" | "emaWarmup"
>;

/** Notes what may surprise. @throws SettingError for settings of which one makes another mean nothing. */
export function checkLearning(values: Learning, { given, note }: Pick<TaskContext, "given" | "note">): void {
  const { steps, learningRate, lrSchedule, finalLr, warmupSteps, emaDecay, emaWarmup } = values;
  if (emaDecay === 1 && emaWarmup === "none") {
    throw new SettingError(
      "`emaDecay` 1 and `emaWarmup` none exclude each other: the average would keep the initial weights; give `emaDecay` below 1, or 0 for no average",
    );
  }
  if (given.has("finalLr") && lrSchedule === "constant")
    throw new SettingError(
      "`finalLr` and `lrSchedule` constant exclude each other: a constant rate does not end at another",
    );
  if (learningRate === 0) note("`learningRate` 0 changes no weights");
  else if (lrSchedule === "cosine" && finalLr > learningRate)
    note(`the learning rate rises, from ${learningRate} to \`finalLr\` ${finalLr}`);
  if (given.has("warmupSteps") && warmupSteps >= steps)
    note(
      `\`warmupSteps\` ${warmupSteps} is not over after \`steps\` ${steps}: the learning rate never reaches its peak`,
    );
}
