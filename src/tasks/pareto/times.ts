/** Seconds of an image of each cell: all cells in turn, in several rounds, so that a machine that slows down favours none. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import type { Engine } from "../../engine/engine.ts";
import {
  type Machine,
  machineNow,
  machineText,
  median,
  secondsOf,
  turnsOf,
  warmSampler,
} from "../../evaluation/speed/timing.ts";
import { cacheOf } from "../../sampling/caching/step-cache.ts";
import { balancedLabels } from "../../sampling/sample-images.ts";
import { type CacheCurves, withCurves } from "../../sampling/sampling-settings.ts";
import { appendLine, readLines, truncateLines } from "../../storage/append-lines.ts";
import type { CellResult, CellSeconds, CellsRequest, CellTime, Turn } from "./cell.ts";
import { type Cell, samplerRequest } from "./grid.ts";

export interface TimesPlan {
  /** In the order of the turns. */
  readonly done: readonly CellTime[];
  readonly left: readonly Turn[];
  /** Why existing times of these cells do not count; undefined if they do. */
  readonly startsOver?: string;
}

const pathIn = (out: string): string => join(out, "times.jsonl");

/**
 * What was timed, and what is left. Times are comparable only if they were taken in turn and on one machine: if cells
 * were added since, or the machine is another, timing starts over.
 * @throws InputError for a file of times that holds something else.
 */
export function timesPlan(out: string, cells: readonly Cell[], rounds: number): TimesPlan {
  const turns = turnsOf(cells, rounds).map(({ item: cell, round }): Turn => ({ cell, round }));
  const known = new Map(timesIn(pathIn(out)).map((time) => [keyOf(time.cell, time.round), time]));
  const of = ({ cell, round }: Turn) => known.get(keyOf(cell.id, round));
  const gap = turns.findIndex((turn) => of(turn) === undefined);
  const count = gap < 0 ? turns.length : gap;
  const [done, left] = [turns.slice(0, count).map((turn) => of(turn)!), turns.slice(count)];
  const places = new Set(done.map(({ machine }) => placeOf(machine)));
  if (left.length > 0) places.add(placeOf(machineNow(cells[0]!.common.threads, cells[0]!.common.device)));
  const passes = new Set(done.map(({ pass }) => pass));
  if (done.length > 0 && left.length > 0) passes.add(passOf(cells));
  const startsOver =
    passes.size > 1 || left.some((turn) => of(turn) !== undefined)
      ? "some cells were timed without the others"
      : places.size > 1
        ? `they would be of different machines: ${[...places].join("; ")}`
        : undefined;
  return startsOver === undefined ? { done, left } : { done: [], left: turns, startsOver };
}

/** Identifies these cells, in any order. */
const passOf = (cells: readonly Cell[]): string =>
  createHash("sha256")
    .update(JSON.stringify(cells.map(({ id }) => id).sort()))
    .digest("hex")
    .slice(0, 10);

const keyOf = (cell: string, round: number): string => `${round} ${cell}`;

/** A machine without the date. */
export const placeOf = (machine: Machine): string => machineText({ ...machine, date: "" }).replace(/, $/, "");

function timesIn(path: string): CellTime[] {
  return readLines(path).map((record, i) => {
    const time = record as Partial<CellTime> | null;
    const isNumbered = typeof time?.cell === "string" && Number.isInteger(time.round);
    if (isNumbered && Number.isFinite(time.secondsPerImage) && time.machine) return time as CellTime;
    throw new InputError(`${path}: expected the time of a cell as record ${i + 1}, found another; remove the file`);
  });
}

/**
 * Times what is missing; each measurement is on disk before the next begins. Returns all that count.
 * @throws the signal's reason if aborted; what was timed stays.
 */
export async function timeCells(request: CellsRequest, results: readonly CellResult[]): Promise<CellTime[]> {
  const { engine, out, cells, rounds, signal } = request;
  const { done, left, startsOver } = timesPlan(out, cells, rounds);
  if (startsOver !== undefined) {
    request.onStartOver?.(startsOver);
    const own = new Set(cells.map(({ id }) => id));
    await truncateLines(pathIn(out), (record) => !own.has((record as CellTime).cell));
  }
  const curvesOf = new Map(results.map((result) => [result.id, cacheOf(result)?.curves]));
  const [times, pass] = [[...done], passOf(cells)];
  for (const [at, { cell, round }] of left.entries()) {
    signal?.throwIfAborted();
    const secondsPerImage = await timeCell(cell, engine, { curves: curvesOf.get(cell.id), signal });
    const time = {
      cell: cell.id,
      round,
      pass,
      secondsPerImage,
      machine: machineNow(cell.common.threads, cell.common.device),
    };
    appendLine(pathIn(out), time);
    times.push(time);
    request.onTime?.(time, left.slice(at + 1));
  }
  return times;
}

/** The times of the cell with this id. */
export function cellSeconds(id: string, times: readonly CellTime[]): CellSeconds {
  const own = times.filter(({ cell }) => cell === id).map(({ secondsPerImage }) => secondsPerImage);
  return { median: median(own), least: Math.min(...own), most: Math.max(...own), rounds: own.length };
}

/**
 * Seconds of an image of one batch, sampled to its end, without compilation and the first run of any graph. `curves` are the
 * error curves of the cell's cache, which is calibrated again without them.
 * @throws the signal's reason if aborted.
 */
export async function timeCell(
  cell: Cell,
  engine: Engine,
  { curves, signal }: { readonly curves?: CacheCurves | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<number> {
  const { depth, sampling, common } = cell;
  const { batch } = common;
  const request = { ...samplerRequest(cell, engine, signal), batch };
  const sampler = await warmSampler(request, depth.process, withCurves(sampling, curves));
  try {
    const y = balancedLabels(batch, depth.file.model.config.numClasses);
    const onModelEvaluation = () => signal?.throwIfAborted();
    return (await secondsOf(() => sampler.sample({ first: 0, y, rows: batch, onModelEvaluation }))) / batch;
  } finally {
    await sampler.release();
  }
}
