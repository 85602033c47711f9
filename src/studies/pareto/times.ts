/** How long an image of each cell takes: all cells in turn, several rounds, so that a machine that wanders does not decide. */
import { join } from "node:path";
import { compileSampler } from "../../evaluation/samplers/image-sampler.ts";
import type { CacheFacts } from "../../evaluation/samplers/trajectory.ts";
import { type Machine, machineNow } from "../../evaluation/speed/machine.ts";
import { median } from "../../evaluation/speed/sampler-speed.ts";
import { runOnly } from "../../nn/run-block.ts";
import type { Engine } from "../../onnx/session.ts";
import { appendLine, readLines } from "../../storage/append-lines.ts";
import { exists } from "../../storage/read.ts";
import type { CellResult } from "./cell.ts";
import type { Cell } from "./grid.ts";

/** One batch of one cell, timed. */
export interface CellTime {
  readonly cell: string;
  readonly round: number;
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

export interface TimesRequest {
  readonly engine: Engine;
  readonly out: string;
  readonly cells: readonly Cell[];
  /** In the order of the cells. */
  readonly results: readonly CellResult[];
  readonly rounds: number;
  readonly signal?: AbortSignal;
  /** Told after each measurement: how many there are, of how many. */
  readonly onTime?: (done: number, of: number) => void;
}

const FILE = "times.jsonl";

/**
 * Times what is missing, forward in even rounds and backward in odd ones. Times of other machines or threads do not count.
 * @throws the signal's reason if aborted; what was timed stays.
 */
export async function timeCells(request: TimesRequest): Promise<Map<string, CellSeconds>> {
  const { out, cells, rounds, signal, onTime } = request;
  const known = new Map(timesIn(out, cells).map((time) => [`${time.cell} ${time.round}`, time]));
  for (let round = 0; round < rounds; round++) {
    const order = Array.from(cells.keys());
    for (const at of round % 2 === 0 ? order : order.reverse()) {
      const key = `${cells[at]!.id} ${round}`;
      if (known.has(key)) continue;
      signal?.throwIfAborted();
      const time = await timedOnce(request, at, round);
      appendLine(join(out, FILE), time);
      known.set(key, time);
      onTime?.(known.size, cells.length * rounds);
    }
  }
  return new Map(cells.map(({ id }) => [id, summary([...known.values()].filter(({ cell }) => cell === id))]));
}

/** Seconds of a batch that is drawn after one that is not timed: the first allocates what the second uses again. */
async function timedOnce(
  { engine, cells, results, signal }: TimesRequest,
  at: number,
  round: number,
): Promise<CellTime> {
  const { id, depth, sampling, common } = cells[at]!;
  const { file, process, kept } = depth;
  const { curves } = (results[at]!.derived.cache as CacheFacts | undefined) ?? {};
  const sampler = await compileSampler(
    {
      ...{ engine, model: file.model, weights: file.tensors, seed: common.seed, batch: common.batch },
      ...(kept && { runBlock: runOnly(kept) }),
    },
    process,
    { ...sampling, ...(curves && { cacheCurves: curves }) },
  );
  try {
    const y = Int32Array.from({ length: common.batch }, (_, i) => i % file.model.config.numClasses);
    const draw = () => sampler.sample({ first: 0, y, rows: common.batch, evaluated: () => signal?.throwIfAborted() });
    await draw();
    const started = performance.now();
    await draw();
    const secondsPerImage = (performance.now() - started) / 1000 / common.batch;
    return { cell: id, round, secondsPerImage, machine: machineNow(common.threads) };
  } finally {
    await sampler.release();
  }
}

/** What was timed before, on a machine like this and with as many threads. */
function timesIn(out: string, cells: readonly Cell[]): CellTime[] {
  const path = join(out, FILE);
  if (!exists(path)) return [];
  const { date: _, ...here } = machineNow(cells[0]!.common.threads);
  const isHere = ({ machine: { date: _date, ...there } }: CellTime) => JSON.stringify(there) === JSON.stringify(here);
  const ids = new Set(cells.map(({ id }) => id));
  return (readLines(path) as CellTime[]).filter((time) => ids.has(time.cell) && isHere(time));
}

function summary(times: readonly CellTime[]): CellSeconds {
  const seconds = times.map(({ secondsPerImage }) => secondsPerImage);
  return { median: median(seconds), least: Math.min(...seconds), most: Math.max(...seconds), rounds: seconds.length };
}
