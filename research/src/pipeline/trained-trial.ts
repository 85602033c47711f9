/** A cell that trains weights which later cells need: its file holds facts, the weights lie in the work folder. */

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
import { type Cell, cellFile, type Lab, secondsSince, settingsSha256 } from "../trials/trial.ts";
import { unlessHeld, untilNextLook } from "../trials/trial-lock.ts";

export interface TrainedResult {
  readonly weightsSha256: string;
  readonly dataSha256: string;
  /** In this and all earlier sittings. */
  readonly seconds: number;
  /** Of a classifier: share of test images that it gets right. */
  readonly accuracy?: number;
}

export interface TrainedCell extends Cell<TrainedResult> {
  /**
   * The file of the weights; they are trained again if it is gone.
   * @throws InputError if it does not hold the weights that the cell's result was found with.
   */
  weights(lab: Lab): Promise<string>;
}

export interface Training<S extends WeightTaskSettings> {
  readonly study: string;
  readonly arm: string;
  readonly settings: S;
  /** What it starts from; random weights if absent. */
  readonly init?: Readonly<Record<string, unknown>>;
  readonly dataName: string;
  readonly data: () => TrainingSet;
  readonly task: (lab: Lab, data: TrainingSet, settings: S) => Promise<Task>;
  /** What more is to be known of the weights in this file. */
  readonly judge?: (lab: Lab, path: string) => Promise<Pick<TrainedResult, "accuracy">>;
}

const SEED = 0;

/** The cell; a stop loses at most so many steps as lie between two checkpoints. */
export function trainedCell<S extends WeightTaskSettings>(training: Training<S>): TrainedCell {
  const { study, arm, settings, init = "random weights", dataName } = training;
  const cell: TrainedCell = {
    file: cellFile(study, arm, SEED),
    study,
    arm,
    seed: SEED,
    subject: study,
    needs: [],
    settings: { ...(settings as object), init, data: dataName },
    work: { recoverySteps: settings.steps },
    async weights(lab) {
      const path = pathIn(lab, cell);
      await trained(lab, path, training);
      const expected = lab.settings.evidence.find(cell)?.result.weightsSha256;
      if (expected === undefined || expected === sha256Of(readFileSync(path))) return path;
      throw new InputError(
        `${path}: expected the weights that ${cell.file} was found with, found others; remove the cells of ${study} to start over with these`,
      );
    },
    async compute(lab) {
      const path = await cell.weights(lab);
      const { sha256: dataSha256 } = training.data();
      const seconds = secondsOf(path);
      const judged = await training.judge?.(lab, path);
      return { weightsSha256: sha256Of(readFileSync(path)), dataSha256, seconds, ...judged };
    },
  };
  return cell;
}

/** Named by the settings: those of another budget are other weights. */
const pathIn = (lab: Lab, cell: Cell): string =>
  join(lab.settings.work, `${cell.study}-${cell.arm}-${settingsSha256(cell).slice(0, 10)}`, "weights.safetensors");

const sha256Of = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** From the log of the run beside the weights. */
function secondsOf(path: string): number {
  const last = readLines(join(dirname(path), "metrics.jsonl")).at(-1) as MetricsLine | undefined;
  return Number(last?.seconds ?? 0);
}

/** Makes the file of the weights, or waits until another process has made it or given up. */
async function trained<S extends WeightTaskSettings>(lab: Lab, path: string, training: Training<S>): Promise<void> {
  for (let waiting = false; !existsSync(path); ) {
    const folder = unlessHeld(dirname(path), RunFolder.open);
    if (folder) return trainInto(folder, lab, path, training);
    if (!waiting) lab.settings.note(`  ${training.arm} of ${training.study} is trained by another process; waiting …`);
    waiting = true;
    await untilNextLook(lab.signal);
  }
}

/** Trains in a run folder, so that a stopped training goes on; the averaged weights are what is kept. */
async function trainInto<S extends WeightTaskSettings>(
  folder: RunFolder,
  lab: Lab,
  path: string,
  training: Training<S>,
): Promise<void> {
  const { settings, arm, study } = training;
  const started = performance.now();
  try {
    if (existsSync(path)) return; // another process has finished it meanwhile
    const data = training.data();
    const { threads, versions } = lab.settings;
    await folder.acquire({
      command: `study ${study} ${arm}`,
      ...(settings as object),
      dataSha256: data.sha256,
      threads,
      versions,
    });
    const task = await training.task(lab, data, settings);
    const { steps } = settings;
    const loop = {
      steps,
      logEvery: Math.ceil(steps / 100),
      saveEvery: 250,
      keepCheckpoints: 1,
      onNan: "stop" as const,
    };
    await runLoop(task, folder, loop, { signal: lab.signal, onWarning: lab.settings.note }).finally(() =>
      task.release?.(),
    );
    lab.signal.throwIfAborted();
    await writeAtomically(path, readFileSync(join(folder.checkpointPath(steps), "ema.safetensors")));
    lab.settings.note(`  ${arm} of ${study}: trained in ${secondsSince(started).toFixed(0)} s`);
  } finally {
    folder.close();
  }
}
