/** Passes over the calibration set: how far they are, and how long they will take. */

import { median } from "../../evaluation/speed/timing.ts";
import {
  calibrationPieces,
  calibrationRows,
  compileCalibrationLoss,
  type RunHooks,
} from "../../pruning/calibration.ts";
import type { CalibratedContext, MeasuringPruner } from "../../pruning/pruner.ts";
import type { TaskContext } from "../task.ts";

/** Lines of progress are at least so far apart. */
const QUIET_SECONDS = 1;
/** … and no more than about so many. */
const LINES = 100;
/** Timed for the plan, after one that builds the session. */
const TIMED = 3;

/** How many runs of the graph a pass takes: those of `drawCalibration`. */
function runsOfPass({ calibration, data }: CalibratedContext): number {
  const rows = calibrationRows(calibration);
  return calibrationPieces(data, calibration.examples).reduce((total, { count }) => total + Math.ceil(count / rows), 0);
}

/** Shows passes over the calibration set as steps, with the time that is left; stops where the signal says so. */
export function progressHooks(
  pruner: MeasuringPruner,
  context: CalibratedContext,
  { signal, progress }: TaskContext,
): RunHooks {
  const runs = runsOfPass(context);
  const steps = pruner.passes(context);
  const started = performance.now();
  let [done, shown, shownAt] = [0, 0, started];
  return {
    signal,
    onRun(forwards) {
      done += forwards;
      const now = performance.now();
      const isLast = done >= runs * steps;
      const isDue = now - shownAt > 1000 * QUIET_SECONDS && done - shown > (runs * steps) / LINES;
      if (!isDue && !(isLast && shown > 0)) return;
      [shown, shownAt] = [done, now];
      const secondsLeft = ((now - started) / 1000 / done) * (runs * steps - done);
      const step = Math.floor(done / runs);
      progress({ step, steps, images: step * context.calibration.examples, secondsLeft, line: {} });
    },
  };
}

/** What choosing by passes over the calibration set costs. */
export interface CalibrationPlan {
  readonly examples: number;
  /** Examples of the data. */
  readonly of: number;
  readonly seed: number;
  readonly microBatches: number;
  readonly microBatch: number;
  /** Passes forward over the set, or fewer. */
  readonly passes: number;
  /** Median of the micro-batches that were measured, with all blocks. */
  readonly secondsPerMicroBatch: number;
  readonly measured: number;
}

/** Measures forward passes of one micro-batch. @throws the signal's reason. */
export async function planPasses(pruner: MeasuringPruner, context: CalibratedContext): Promise<CalibrationPlan> {
  const { calibration, data, engine, model, weights } = context;
  const microBatch = calibrationRows(calibration);
  const all = Array.from({ length: model.config.depth }, (_, block) => block);
  const trial = { ...calibration, examples: Math.min(microBatch, calibration.examples) };
  const loss = await compileCalibrationLoss(engine, model, data, trial, weights);
  const seconds: number[] = [];
  try {
    for (let k = 0; k <= TIMED; k++) {
      context.hooks.signal?.throwIfAborted();
      const started = performance.now();
      await loss.lossOf(all);
      if (k > 0) seconds.push((performance.now() - started) / 1000);
    }
  } finally {
    await loss.release();
  }
  return {
    examples: calibration.examples,
    of: data.size,
    seed: calibration.seed,
    microBatches: runsOfPass(context),
    microBatch,
    passes: pruner.passes(context),
    secondsPerMicroBatch: median(seconds),
    measured: TIMED,
  };
}
