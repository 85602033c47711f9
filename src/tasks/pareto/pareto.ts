/** How good images are against how long they take, over depth, sampler, steps, step caching and precision. */

import { join } from "node:path";
import type { Engine } from "../../engine/engine.ts";
import type { Machine } from "../../evaluation/speed/timing.ts";
import { cacheOf } from "../../sampling/caching/step-cache.ts";
import { makeFolder, removeTemporaries, requireWritableFolder } from "../../storage/atomic-write.ts";
import { lockFolder } from "../../storage/lock.ts";
import { required } from "../settings.ts";
import { recordedDevice } from "../shared-settings.ts";
import { startTask, type TaskContext, type TaskSettings } from "../task.ts";
import { versions } from "../version.ts";
import { type CellResult, type CellsRequest, runCell, storedCell, type TimedCell } from "./cell.ts";
import { repeatedCells, samplingText } from "./front.ts";
import {
  type Cell,
  evaluationsOf,
  openDepths,
  type ParetoValues,
  paretoCells,
  paretoSettings,
  samplingsOf,
} from "./grid.ts";
import { writeReport } from "./report.ts";
import { type OpenedScorer, openScorer } from "./scorer.ts";
import { cellSeconds, type TimesPlan, timeCell, timeCells, timesPlan } from "./times.ts";

export interface CellsResult {
  /** In the order of the cells. */
  readonly results: readonly TimedCell[];
  /** Where the times were taken; the date is that of the last one. */
  readonly machine: Machine;
  /** Cells that were computed now. */
  readonly computed: number;
}

export interface ParetoResult extends CellsResult {
  /** The ids of the cells on the front, from fast to slow. */
  readonly front: readonly string[];
  /** Paths of the report's files. */
  readonly files: readonly string[];
}

/**
 * Computes every cell that its folder does not hold yet, times all of them in turn, and writes a report.
 * @throws InputError for models, samplers or a reference that do not fit each other; the signal's reason: finished cells and
 *   times stay, and are used by the next call.
 */
export async function pareto(settings: TaskSettings<typeof paretoSettings>): Promise<ParetoResult> {
  const { values, context } = await startTask(paretoSettings, settings);
  requireWritableFolder(required("out", values.out));
  return withPlan(values, context, async (planned) => {
    if (planned.missing.length > 0) await planned.scorer.openReference();
    const result = await runCells({
      ...planned,
      versions: versions(),
      signal: context.signal,
      ...reporting(planned, context),
    });
    return { ...result, ...(await writeReport(result, { command: context.command, out: planned.out })) };
  });
}

/** Cells and times of one kind, whose model evaluations take about the same time. */
export interface PlannedKind {
  readonly name: string;
  readonly cells: number;
  readonly samplingSeconds: number;
  readonly times: number;
  readonly timingSeconds: number;
}

export interface ParetoPlan {
  readonly cells: number;
  readonly done: number;
  /** Images of each cell. */
  readonly count: number;
  readonly rounds: number;
  /** Times that were taken before. */
  readonly timed: number;
  readonly kinds: readonly PlannedKind[];
}

/** What {@link pareto} would compute and how long that takes, estimated by a batch of each kind; writes nothing. */
export async function planPareto(settings: TaskSettings<typeof paretoSettings>): Promise<ParetoPlan> {
  const { values, context } = await startTask(paretoSettings, settings);
  return withPlan(values, context, async (planned) => {
    const { cells, missing, times, rounds } = planned;
    const toTime = times.left.map(({ cell }) => cell);
    const kinds: PlannedKind[] = [];
    for (const name of new Set([...missing, ...toTime].map(kindOf))) {
      const own = (some: readonly Cell[]) => some.filter((cell) => kindOf(cell) === name);
      kinds.push(await plannedKind(name, own(missing), own(toTime), planned, context));
    }
    return {
      cells: cells.length,
      done: cells.length - missing.length,
      count: cells[0]!.common.count,
      rounds,
      timed: cells.length * rounds - toTime.length,
      kinds,
    };
  });
}

interface Planned {
  readonly out: string;
  readonly cells: readonly Cell[];
  /** Cells without a result. */
  readonly missing: readonly Cell[];
  readonly times: TimesPlan;
  readonly rounds: number;
  /** Model evaluations of a batch. */
  readonly evaluations: ReadonlyMap<Cell, number>;
  readonly engine: Engine;
  readonly scorer: OpenedScorer;
}

async function withPlan<T>(
  values: ParetoValues,
  context: TaskContext,
  work: (planned: Planned) => Promise<T>,
): Promise<T> {
  const out = required("out", values.out);
  const { seed, count, threads, rounds } = values;
  const engine = context.engine();
  const depths = await openDepths(values, context.note);
  const samplings = samplingsOf(values, depths[0]!, context.note);
  const scorer = await openScorer({ ...values, out }, context, depths[0]!.file, engine);
  try {
    const batch = Math.max(2, values.batch);
    if (batch !== values.batch) context.note("`batch` 1: images are sampled and timed two at a time");
    const { metric, facts } = scorer;
    const cells = paretoCells(
      { depths, samplings },
      { seed, count, batch, threads, ...recordedDevice(values), judgement: { metric, facts } },
    );
    const evaluations = await evaluationsOf(cells, engine);
    const missing = cells.filter((cell) => storedCell(out, cell) === undefined);
    const times = timesPlan(out, cells, rounds);
    return await work({ out, cells, missing, times, rounds, evaluations, engine, scorer });
  } finally {
    await scorer.release();
  }
}

const kindOf = ({ depth, sampling: { cache, precision } }: Cell): string =>
  [
    depth.name,
    ...(cache === undefined ? [] : [`cache ${cache}`]),
    ...(precision === undefined ? [] : [precision]),
  ].join(", ");

/** Seconds of one kind, by a batch of the cell with the fewest evaluations. */
async function plannedKind(
  name: string,
  toSample: readonly Cell[],
  toTime: readonly Cell[],
  { out, evaluations, engine }: Planned,
  { note, signal }: TaskContext,
): Promise<PlannedKind> {
  const timed = [...toSample, ...toTime].reduce((a, b) => (evaluations.get(b)! < evaluations.get(a)! ? b : a));
  const { batch, count } = timed.common;
  note(`estimate: a batch of ${batch}, ${name}, ${evaluations.get(timed)} evaluations …`);
  const stored = storedCell(out, timed);
  const seconds = await timeCell(timed, engine, { signal, curves: stored && cacheOf(stored)?.curves });
  const each = (seconds * batch) / evaluations.get(timed)!;
  const secondsOf = (cells: readonly Cell[]) => cells.reduce((sum, cell) => sum + evaluations.get(cell)! * each, 0);
  return {
    name,
    cells: toSample.length,
    samplingSeconds: secondsOf(toSample) * Math.ceil(count / batch),
    times: toTime.length,
    timingSeconds: secondsOf(toTime),
  };
}

/**
 * Computes missing cells one by one, each on disk before the next begins, then times all of them.
 * @throws InputError if another process works in the folder; the signal's reason if aborted.
 */
export async function runCells(request: CellsRequest): Promise<CellsResult> {
  const { out, cells, onCell } = request;
  const unlock = lockFolder(out);
  try {
    makeFolder(join(out, "cells"));
    removeTemporaries(join(out, "cells"));
    const missing = cells.filter((cell) => storedCell(out, cell) === undefined);
    for (const cell of missing) {
      const at = cells.indexOf(cell);
      onCell?.(cell, at);
      const result = await runCell(cell, request);
      onCell?.(cell, at, result);
    }
    const results = cells.map((cell) => storedCell(out, cell)!);
    const times = await timeCells(request, results);
    const repeated = repeatedCells(results);
    const timed = results.map((result): TimedCell => {
      const seconds = cellSeconds(result.id, times);
      const sameWorkAs = repeated.get(result.id);
      return { ...result, secondsPerImage: seconds.median, seconds, ...(sameWorkAs !== undefined && { sameWorkAs }) };
    });
    return { results: timed, machine: times.at(-1)!.machine, computed: missing.length };
  } finally {
    unlock();
  }
}

/** Notes and progress of {@link runCells}; the time left is by model evaluations and blocks. */
function reporting({ out, cells, missing, times, rounds, evaluations }: Planned, { note, progress }: TaskContext) {
  const workOf = (some: readonly Cell[]) => {
    const blocks = ({ depth: { file, kept } }: Cell) => kept?.length ?? file.model.config.depth;
    return some.reduce((sum, cell) => sum + evaluations.get(cell)! * (blocks(cell) + 1), 0);
  };
  const countdown = (work: number) => {
    const started = performance.now();
    return (left: number) => ((performance.now() - started) / 1000) * (left / (work - left));
  };
  const [total, { count, batch }] = [cells.length * rounds, cells[0]!.common];
  const cellsLeft = countdown(workOf(missing));
  let timesLeft: ((left: number) => number) | undefined;
  return {
    onCell(cell: Cell, at: number, result?: CellResult) {
      if (!result) return;
      const { model, metric, score } = result;
      const text = `${metric} ${score.estimate.toFixed(2)} ± ${score.standardError.toFixed(2)}`;
      note(`cell ${at + 1} of ${cells.length}: ${model.name}, ${samplingText(result)}: ${text}`);
      const step = missing.indexOf(cell) + 1;
      const secondsLeft = cellsLeft(workOf(missing.slice(step)));
      progress({ step, steps: missing.length, images: step * count, secondsLeft, line: {} });
    },
    onStartOver: (why: string) => note(`the times in ${out} do not count, as ${why}; timing starts over`),
    onTime({ round }: { readonly round: number }, left: readonly { readonly cell: Cell }[]) {
      timesLeft ??= countdown(workOf(times.left.map(({ cell }) => cell)));
      const step = total - left.length;
      const secondsLeft = timesLeft(workOf(left.map(({ cell }) => cell)));
      progress({ step, steps: total, images: step * batch, secondsLeft, line: { round: round + 1 } });
    },
  };
}
