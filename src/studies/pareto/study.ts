/** A whole study: every cell that is not done yet, then the times of all of them, in turn. */
import { join } from "node:path";
import { type Runner, samplerSpeeds } from "../../evaluation/speed/sampler-speed.ts";
import { runOnly } from "../../nn/run-block.ts";
import type { Engine } from "../../onnx/session.ts";
import { makeFolder, removeTemporaries } from "../../storage/atomic-write.ts";
import { lockFolder } from "../../storage/lock.ts";
import { type CellRequest, type CellResult, runCell, storedCell } from "./cell.ts";
import type { Cell } from "./grid.ts";
import { type CellSeconds, timeCells } from "./times.ts";

export interface StudyRequest extends CellRequest {
  readonly out: string;
  readonly cells: readonly Cell[];
  /** Rounds of the times. */
  readonly rounds: number;
  readonly onTime?: (done: number, of: number) => void;
  /** Told before and after each cell that is computed; `result` is there after. */
  readonly onCell?: (cell: Cell, at: number, result?: CellResult) => void;
}

/** A cell whose seconds are those of the rounds, not those of its making. */
export interface TimedCell extends CellResult {
  readonly seconds: CellSeconds;
}

export interface StudyResult {
  /** In the order of the cells. */
  readonly results: readonly TimedCell[];
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
    const timed = results.map((result): TimedCell => {
      const seconds = times.get(result.id)!;
      return { ...result, secondsPerImage: seconds.median, seconds };
    });
    return { results: timed, computed: missing.length };
  } finally {
    unlock();
  }
}

/** Seconds of an image of this cell now, the median over `rounds` draws of a batch after two that are not timed. */
export async function secondsOf(engine: Engine, cell: Cell, rounds: number, signal?: AbortSignal): Promise<number> {
  const { seed, batch } = cell.common;
  const request = { engine, runners: [runnerOf(cell)], batches: [batch], rounds, seed, ...(signal && { signal }) };
  const { speeds } = await samplerSpeeds(request);
  return 1 / speeds[0]![0]!.imagesPerSecond;
}

function runnerOf({ depth: { file, process, kept }, sampling }: Cell): Runner {
  return { model: file.model, weights: file.tensors, process, sampling, ...(kept && { runBlock: runOnly(kept) }) };
}
