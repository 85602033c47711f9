/** A whole study: every cell that is not done yet, then the times of all of them, in turn. */
import { join } from "node:path";
import type { Machine } from "../../evaluation/speed/timing.ts";
import { makeFolder, removeTemporaries } from "../../storage/atomic-write.ts";
import { lockFolder } from "../../storage/lock.ts";
import { type CellRequest, type CellResult, runCell, storedCell } from "./cell.ts";
import type { Cell } from "./grid.ts";
import { repeatedCells } from "./same-work.ts";
import { type CellSeconds, secondsOf, type TimesRequest, timeCells } from "./times.ts";

export interface StudyRequest extends CellRequest, Pick<TimesRequest, "onTime" | "onStartOver"> {
  readonly out: string;
  readonly cells: readonly Cell[];
  /** Rounds of the times. */
  readonly rounds: number;
  /** Told before and after each cell that is computed; `result` is there after. */
  readonly onCell?: (cell: Cell, at: number, result?: CellResult) => void;
}

/** A cell as it is reported. */
export interface TimedCell extends CellResult {
  /** The median of its seconds. */
  readonly secondsPerImage: number;
  readonly seconds: CellSeconds;
  /** The id of the cell that does the same work, if another one does. */
  readonly sameWorkAs?: string;
}

export interface StudyResult {
  /** In the order of the cells. */
  readonly results: readonly TimedCell[];
  /** Where the times were taken; the date is that of the last one. */
  readonly machine: Machine;
  /** Cells that were computed now. */
  readonly computed: number;
}

/**
 * Computes what is missing, cell by cell; each is on disk before the next begins, so that a study which was stopped
 * goes on where it was.
 * @throws InputError if another process works in the folder; the signal's reason if aborted.
 */
export async function runStudy(request: StudyRequest): Promise<StudyResult> {
  const { out, cells, onCell } = request;
  const unlock = lockFolder(out);
  try {
    makeFolder(join(out, "cells"));
    removeTemporaries(join(out, "cells"));
    const missing = cells.filter((cell) => storedCell(out, cell) === undefined);
    for (const [at, cell] of cells.entries()) {
      if (!missing.includes(cell)) continue;
      onCell?.(cell, at);
      const result = await runCell(out, cell, request);
      onCell?.(cell, at, result);
    }
    const results = cells.map((cell) => storedCell(out, cell)!);
    const times = await timeCells({ ...request, results });
    const repeated = repeatedCells(results);
    const timed = results.map((result): TimedCell => {
      const seconds = secondsOf(result.id, times);
      const sameWorkAs = repeated.get(result.id);
      return { ...result, secondsPerImage: seconds.median, seconds, ...(sameWorkAs !== undefined && { sameWorkAs }) };
    });
    return { results: timed, machine: times.at(-1)!.machine, computed: missing.length };
  } finally {
    unlock();
  }
}
