/** A whole study: every cell that is not done yet, and one cell timed again at the start and the end, to show drift. */
import { join } from "node:path";
import { type Machine, machineNow } from "../../evaluation/speed/machine.ts";
import { type Runner, samplerSpeeds } from "../../evaluation/speed/sampler-speed.ts";
import { runOnly } from "../../nn/run-block.ts";
import type { Engine } from "../../onnx/session.ts";
import { appendLine, readLines } from "../../storage/append-lines.ts";
import { makeFolder, removeTemporaries } from "../../storage/atomic-write.ts";
import { lockFolder } from "../../storage/lock.ts";
import { type CellRequest, type CellResult, runCell, storedCell } from "./cell.ts";
import type { Cell } from "./grid.ts";

/** The reference cell, timed: how fast the machine was at that moment. */
export interface ReferenceTime {
  readonly at: "start" | "end";
  readonly cell: string;
  readonly secondsPerImage: number;
  readonly machine: Machine;
}

export interface StudyRequest extends CellRequest {
  readonly out: string;
  readonly cells: readonly Cell[];
  /** Told before and after each cell that is computed; `result` is there after. */
  readonly onCell?: (cell: Cell, at: number, result?: CellResult) => void;
}

export interface StudyResult {
  /** In the order of the cells. */
  readonly results: readonly CellResult[];
  /** Of this and all earlier sittings. */
  readonly references: readonly ReferenceTime[];
  /** Cells that were computed now. */
  readonly computed: number;
}

const TIMES_FILE = "reference-times.jsonl";
/** Draws of the reference cell of which the median counts. */
const REFERENCE_ROUNDS = 3;

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
    if (missing.length > 0) await timeReference(request, "start");
    for (const [at, cell] of cells.entries()) {
      if (!missing.includes(cell)) continue;
      onCell?.(cell, at);
      const result = await runCell(out, cell, request);
      onCell?.(cell, at, result);
    }
    if (missing.length > 0) await timeReference(request, "end");
    return {
      results: cells.map((cell) => storedCell(out, cell)!),
      references: readLines(join(out, TIMES_FILE)) as ReferenceTime[],
      computed: missing.length,
    };
  } finally {
    unlock();
  }
}

async function timeReference({ engine, cells, out, signal }: StudyRequest, at: "start" | "end"): Promise<void> {
  const cell = cells[0]!;
  const secondsPerImage = await secondsOf(engine, cell, REFERENCE_ROUNDS, signal);
  const machine = machineNow(cell.common.threads);
  appendLine(join(out, TIMES_FILE), { at, cell: cell.id, secondsPerImage, machine } satisfies ReferenceTime);
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
