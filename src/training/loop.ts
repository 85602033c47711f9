/** The training loop: steps, logs, checkpoints, resume and stopping, for any task. */
import { join } from "node:path";
import { InputError } from "../array/input-error.ts";
import { bounds, requireSettings } from "./check-settings.ts";
import type { Checkpoint, WrittenCheckpoint } from "./checkpoint-folder.ts";
import type { RunFolder } from "./run-folder.ts";

/** Numbers of a step for the log. */
export interface StepReport {
  readonly terms: Readonly<Record<string, number>>;
  readonly gradientNorm: number;
  readonly learningRate: number;
}

/** A loss, gradient or weight that is not a finite number; the weights have not been changed by it. */
export class NonFiniteError extends Error {
  readonly terms: Readonly<Record<string, number>>;
  constructor(terms: Readonly<Record<string, number>>) {
    super("non-finite loss or gradient");
    this.terms = terms;
  }
}

/** Something that is trained step by step, with checkpoints between steps. */
export interface Task {
  /** Images of one step. */
  readonly batchSize: number;
  /** Step k, counted from 0. @throws NonFiniteError before anything is changed. */
  step(k: number): Promise<StepReport>;
  checkpoint(): Pick<WrittenCheckpoint, "files" | "metadata"> & { state?: Readonly<Record<string, unknown>> };
  restore(checkpoint: Checkpoint): Promise<void> | void;
  /** Frees what steps need; checkpoints can still be taken. */
  release?(): Promise<void>;
}

export interface LoopSettings {
  readonly steps: number;
  readonly logEvery: number;
  readonly saveEvery: number;
  readonly keepCheckpoints: number;
  readonly onNan: "stop" | "skip";
}

/** Progress of a run at a logged step; lines are also in `metrics.jsonl`. */
export interface Progress {
  /** Completed steps. */
  readonly step: number;
  readonly steps: number;
  readonly images: number;
  readonly secondsLeft: number;
  readonly line: Readonly<Record<string, number>>;
  /** Logs may leave it out: the next one will soon replace it. */
  readonly isTransient?: boolean;
}

export interface LoopHooks {
  readonly onStart?: (resumedAt: number) => void;
  /** Receives a line for each damaged checkpoint that is passed over, and for a run without any. */
  readonly onWarning?: (line: string) => void;
  readonly onProgress?: (progress: Progress) => void;
  /** After step `step` is complete, `log` adds fields to its line; may sample or decide. */
  readonly afterStep?: (step: number) => Promise<void> | void;
  readonly signal?: AbortSignal;
}

/** How a run ended. */
export interface LoopResult {
  readonly step: number;
  readonly finished: boolean;
  readonly skipped: number;
  /** Spent here: the log's `seconds` count on from those before a resume. */
  readonly seconds: number;
}

/**
 * Runs the task from its latest checkpoint to `steps`; stops after the current step if the signal is aborted.
 * A checkpoint is written every `saveEvery` steps, when stopped and at the end.
 * @throws InputError for a loss that is not finite, naming step, terms and last checkpoint (unless `onNan` is "skip");
 *   RangeError for a setting that is out of its bound.
 */
export async function runLoop(
  task: Task,
  folder: RunFolder,
  settings: LoopSettings,
  hooks: LoopHooks = {},
): Promise<LoopResult> {
  const { steps, logEvery, saveEvery, keepCheckpoints } = settings;
  requireSettings({
    steps: [steps, bounds.steps],
    keepCheckpoints: [keepCheckpoints, bounds.count],
    logEvery: [logEvery, bounds.limit],
    saveEvery: [saveEvery, bounds.limit],
  });
  const resumed = await folder.latest(Object.keys(task.checkpoint().files));
  for (const line of resumed.warnings) hooks.onWarning?.(line);
  if (resumed.checkpoint) await task.restore(resumed.checkpoint);
  const first = resumed.step;
  let skipped = Number(resumed.checkpoint?.state.skipped ?? 0);
  hooks.onStart?.(first);
  const save = async (step: number) => {
    const { files, metadata, state } = task.checkpoint();
    const images = step * task.batchSize;
    await folder.save(step, { files, metadata, state: { ...state, step, images, skipped } }, keepCheckpoints);
  };
  const secondsBefore = Number(folder.metrics().at(-1)?.seconds ?? 0);
  const started = performance.now();
  const seconds = () => (performance.now() - started) / 1000;
  for (let k = first; k < steps; k++) {
    const report = await stepOrSkip(task, k, folder, settings);
    if (!report) skipped++;
    const step = k + 1;
    try {
      await hooks.afterStep?.(step);
    } catch (error) {
      await save(step); // samples that fail must not cost the steps before them
      throw error;
    }
    if (step % logEvery === 0 || step === steps) {
      const line = lineOf(step, task.batchSize, report, skipped);
      folder.log({ ...line, seconds: Math.round((secondsBefore + seconds()) * 1000) / 1000 });
      const secondsLeft = (seconds() / (step - first)) * (steps - step);
      hooks.onProgress?.({ step, steps, images: line.images!, secondsLeft, line });
    }
    const stopped = hooks.signal?.aborted === true;
    if (stopped || step === steps || step % saveEvery === 0) await save(step);
    if (stopped && step < steps) return { step, finished: false, skipped, seconds: seconds() };
  }
  return { step: steps, finished: true, skipped, seconds: seconds() };
}

async function stepOrSkip(task: Task, k: number, folder: RunFolder, { onNan }: LoopSettings) {
  try {
    return await task.step(k);
  } catch (error) {
    if (!(error instanceof NonFiniteError)) throw error;
    if (onNan === "skip") return undefined;
    const terms = Object.entries(error.terms).map(([name, value]) => `${name} ${value}`);
    const last = folder.checkpoints().at(-1);
    const checkpoint = last === undefined ? undefined : folder.checkpointPath(last);
    throw new InputError(
      `step ${k + 1}: the loss or its gradient is not finite (${terms.join(", ")}). ` +
        `Last good checkpoint: ${checkpoint ?? "none"}. ` +
        `\`onNan\` skip skips such steps. A lower learning rate is another run, ` +
        `with its own \`out\`${checkpoint ? `; train can start it from \`init\` ${join(checkpoint, "weights.safetensors")}` : ""}.`,
    );
  }
}

function lineOf(step: number, batchSize: number, report: StepReport | undefined, skipped: number) {
  const numbers = report && { ...report.terms, gradientNorm: report.gradientNorm, learningRate: report.learningRate };
  const line: Record<string, number> & { step: number } = { step, images: step * batchSize, ...numbers };
  return skipped > 0 ? { ...line, skipped } : line;
}
