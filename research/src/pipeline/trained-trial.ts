/** A trial that trains weights which later trials need: its file holds their checksums, the weights are in the work folder. */

import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  InputError,
  type MetricsLine,
  RunFolder,
  readLines,
  runLoop,
  type Task,
  type TrainingSet,
  type WeightTaskSettings,
  writeAtomically,
} from "tinyfusion";
import { type StudyContext, secondsSince, settingsSha256, type Trial, trialFile } from "../trials/trial.ts";
import { unlessHeld, untilNextCheck } from "../trials/trial-lock.ts";

export interface TrainedResult {
  readonly weightsSha256: string;
  readonly dataSha256: string;
  /** Summed over all runs that were stopped and resumed. */
  readonly seconds: number;
  /** Of a classifier: share of test images that it gets right. */
  readonly accuracy?: number;
}

export interface TrainedTrial extends Trial<TrainedResult> {
  /**
   * The file of the weights; they are trained again if it is gone.
   * @throws InputError if it does not hold the weights that the trial's result was found with.
   */
  weights(context: StudyContext): Promise<string>;
}

export interface Training<S extends WeightTaskSettings> {
  readonly study: string;
  readonly variant: string;
  readonly settings: S;
  /** What it starts from; random weights if absent. */
  readonly init?: Readonly<Record<string, unknown>>;
  readonly dataName: string;
  readonly data: () => TrainingSet;
  readonly task: (context: StudyContext, data: TrainingSet, settings: S) => Promise<Task>;
  /** More numbers of the weights in this file. */
  readonly measure?: (context: StudyContext, path: string) => Promise<Pick<TrainedResult, "accuracy">>;
}

const SEED = 0;

/** The trial; a stop loses at most the steps since the last checkpoint. */
export function trainedTrial<S extends WeightTaskSettings>(training: Training<S>): TrainedTrial {
  const { study, variant, settings, init = "random weights", dataName } = training;
  const trial: TrainedTrial = {
    file: trialFile(study, variant, SEED),
    study,
    variant,
    seed: SEED,
    benchmark: study,
    needs: [],
    settings: { ...(settings as object), init, data: dataName },
    work: { recoverySteps: settings.steps },
    async weights(context) {
      const path = pathIn(context, trial);
      await trained(context, path, training);
      const expected = context.settings.find(trial)?.weightsSha256;
      if (expected === undefined || expected === sha256Of(readFileSync(path))) return path;
      throw new InputError(
        `${path}: expected the weights that ${trial.file} was found with, found others; remove the trials of ${study} to start over with these`,
      );
    },
    async compute(context) {
      const path = await trial.weights(context);
      const { sha256: dataSha256 } = training.data();
      const seconds = secondsOf(path);
      const measured = await training.measure?.(context, path);
      return { weightsSha256: sha256Of(readFileSync(path)), dataSha256, seconds, ...measured };
    },
  };
  return trial;
}

/** Named by the settings: those of another budget are other weights. */
const pathIn = (context: StudyContext, trial: Trial): string =>
  join(
    context.settings.work,
    `${trial.study}-${trial.variant}-${settingsSha256(trial).slice(0, 10)}`,
    "weights.safetensors",
  );

const sha256Of = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** From the log of the run beside the weights. */
function secondsOf(path: string): number {
  const last = readLines(join(dirname(path), "metrics.jsonl")).at(-1) as MetricsLine | undefined;
  return Number(last?.seconds ?? 0);
}

/** Makes the file of the weights, or waits until another process has made it or given up. */
async function trained<S extends WeightTaskSettings>(
  context: StudyContext,
  path: string,
  training: Training<S>,
): Promise<void> {
  for (let waiting = false; !existsSync(path); ) {
    const folder = unlessHeld(dirname(path), RunFolder.open);
    if (folder) return trainInto(folder, context, path, training);
    if (!waiting)
      context.settings.note(`  ${training.variant} of ${training.study} is trained by another process; waiting …`);
    waiting = true;
    await untilNextCheck(context.signal);
  }
}

/** Trains in a run folder, so that a stopped training resumes; the averaged weights are kept. */
async function trainInto<S extends WeightTaskSettings>(
  folder: RunFolder,
  context: StudyContext,
  path: string,
  training: Training<S>,
): Promise<void> {
  const { settings, variant, study } = training;
  const started = performance.now();
  try {
    if (existsSync(path)) return; // another process has finished it meanwhile
    const data = training.data();
    const { threads, versions } = context.settings;
    await folder.acquire({
      command: `study ${study} ${variant}`,
      ...(settings as object),
      dataSha256: data.sha256,
      threads,
      versions,
    });
    const task = await training.task(context, data, settings);
    const { steps } = settings;
    const loop = {
      steps,
      logEvery: Math.ceil(steps / 100),
      saveEvery: 250,
      keepCheckpoints: 1,
      onNan: "stop" as const,
    };
    await runLoop(task, folder, loop, { signal: context.signal, onWarning: context.settings.note }).finally(() =>
      task.release?.(),
    );
    context.signal.throwIfAborted();
    await writeAtomically(path, readFileSync(join(folder.checkpointPath(steps), "ema.safetensors")));
    context.settings.note(`  ${variant} of ${study}: trained in ${secondsSince(started).toFixed(0)} s`);
  } finally {
    folder.close();
  }
}
