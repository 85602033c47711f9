/** How long an image of each cell takes: all cells in turn, several rounds, so that a machine that wanders does not decide. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import type { Engine } from "../../engine/engine.ts";
import { type Machine, machineNow, machineText, median, turnsOf } from "../../evaluation/speed/timing.ts";
import { cacheOf } from "../../sampling/caching/step-cache.ts";
import { appendLine, readLines, truncateLines } from "../../storage/append-lines.ts";
import type { CellResult } from "./cell.ts";
import type { Cell } from "./grid.ts";
import { timedDraw } from "./timed-draw.ts";

/** One batch of one cell, timed. */
export interface CellTime {
  readonly cell: string;
  readonly round: number;
  /** Names the cells that it was taken in turn with; those of earlier versions do not say it. */
  readonly pass?: string;
  readonly secondsPerImage: number;
  readonly machine: Machine;
}

/** Of all rounds of a cell. */
export interface CellSeconds {
  readonly median: number;
  readonly least: number;
  readonly most: number;
  readonly rounds: number;
}

/** A cell that is to be timed. */
export interface Turn {
  readonly cell: Cell;
  readonly round: number;
}

export interface TimesPlan {
  /** In the order in which they were asked for. */
  readonly done: readonly CellTime[];
  readonly left: readonly Turn[];
  /** Why what was timed of these cells does not count; undefined if it does. */
  readonly startsOver?: string;
}

export interface TimesRequest {
  readonly engine: Engine;
  readonly out: string;
  readonly cells: readonly Cell[];
  /** In the order of the cells. */
  readonly results: readonly CellResult[];
  readonly rounds: number;
  readonly signal?: AbortSignal;
  /** Told after each measurement what is left. */
  readonly onTime?: (time: CellTime, left: readonly Turn[]) => void;
  /** Told before times are thrown away, and why. */
  readonly onStartOver?: (why: string) => void;
}

const pathIn = (out: string): string => join(out, "times.jsonl");

/**
 * What was timed, and what is left. Times say something beside each other only if they were taken in turn and on one
 * machine: where cells were added since, or the pass would go on elsewhere, it starts over.
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
  if (left.length > 0) places.add(placeOf(machineNow(cells[0]!.common.threads)));
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

/** A name for these cells, in whatever order. */
const passOf = (cells: readonly Cell[]): string =>
  createHash("sha256")
    .update(JSON.stringify(cells.map(({ id }) => id).sort()))
    .digest("hex")
    .slice(0, 10);

const keyOf = (cell: string, round: number): string => `${round} ${cell}`;

/** A machine without the moment. */
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
export async function timeCells(request: TimesRequest): Promise<CellTime[]> {
  const { engine, out, cells, results, rounds, signal } = request;
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
    const curves = curvesOf.get(cell.id);
    const secondsPerImage = await timedDraw(cell, { engine, ...(curves && { curves }), ...(signal && { signal }) });
    const time = { cell: cell.id, round, pass, secondsPerImage, machine: machineNow(cell.common.threads) };
    appendLine(pathIn(out), time);
    times.push(time);
    request.onTime?.(time, left.slice(at + 1));
  }
  return times;
}

/** Of the cell with this id. */
export function secondsOf(id: string, times: readonly CellTime[]): CellSeconds {
  const own = times.filter(({ cell }) => cell === id).map(({ secondsPerImage }) => secondsPerImage);
  return { median: median(own), least: Math.min(...own), most: Math.max(...own), rounds: own.length };
}
