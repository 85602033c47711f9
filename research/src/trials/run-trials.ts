/** Computes the cells of a study that are missing, each on disk before the next begins. */
import { type Cell, type Lab, secondsSince, withNeeds } from "./trial.ts";
import { lockCell, untilNextLook } from "./trial-lock.ts";

/** How far a run is. */
export interface RunState {
  readonly done: number;
  readonly of: number;
  /** By the times of cells that are done; NaN while there are none. */
  readonly secondsLeft: number;
}

export interface RunRequest {
  readonly lab: Lab;
  /** The cells that are wanted, in order; asked again after each cell, since results may decide what comes next. */
  readonly cells: () => readonly Cell[];
  /** Told before a cell is computed, and after it with its seconds. */
  readonly onCell?: (cell: Cell, state: RunState, seconds?: number) => void;
}

/**
 * Goes on where an earlier run was stopped: a stop loses the cell at work. Several processes may run the same cells at
 * once, on one disk: each takes one that nobody is at. Returns how many cells this one computed.
 * @throws InputError if a cell is there with other settings; the reason of the lab's signal if it is aborted.
 */
export async function runCells({ lab, cells, onCell }: RunRequest): Promise<number> {
  const { evidence, signal, note } = lab.settings;
  for (let computed = 0, waiting = false; ; ) {
    const all = withNeeds(cells());
    const missing = all.filter((cell) => evidence.find(cell) === undefined);
    if (missing.length === 0) return computed;
    signal.throwIfAborted();
    const taken = takeFirst(lab, missing);
    if (!taken) {
      if (!waiting)
        note("what is left is at work in other processes, needs what is, or is timed when they are done; waiting …");
      waiting = true;
      await untilNextLook(signal);
      continue;
    }
    waiting = false;
    const { cell, release } = taken;
    try {
      onCell?.(cell, stateOf(lab, all, missing));
      const seconds = await computeCell(lab, cell);
      const left = missing.filter((one) => one !== cell);
      onCell?.(cell, stateOf(lab, all, left), seconds);
      computed++;
    } finally {
      release();
    }
  }
}

/** The first cell whose needs are all there, and that may be taken; undefined if there is none. */
function takeFirst(lab: Lab, missing: readonly Cell[]): { cell: Cell; release: () => void } | undefined {
  const { evidence } = lab.settings;
  for (const cell of missing) {
    if (!cell.needs.every((need) => evidence.find(need) !== undefined)) continue;
    const release = lockCell(lab.settings.work, cell);
    if (!release) continue;
    if (evidence.find(cell) === undefined) return { cell, release };
    release(); // another process has finished it meanwhile
  }
  return undefined;
}

/** Computes and writes a cell; returns its seconds. */
async function computeCell(lab: Lab, cell: Cell): Promise<number> {
  const { evidence, signal, threads, versions } = lab.settings;
  evidence.tidy(cell);
  const started = performance.now();
  const result = await cell.compute(lab);
  signal.throwIfAborted();
  const seconds = secondsSince(started);
  await evidence.write(cell, result, { seconds, threads, versions });
  return seconds;
}

function stateOf(lab: Lab, all: readonly Cell[], missing: readonly Cell[]): RunState {
  return { done: all.length - missing.length, of: all.length, secondsLeft: secondsLeft(lab, all, missing) };
}

/** Cells whose work has the same parts. */
const kindOf = ({ subject, work }: Cell): string =>
  `${subject} ${work.searchSteps ?? 0} ${work.passes ?? 0} ${work.recoverySteps ?? 0} ${work.images ?? 0}`;

/** Each missing cell takes as long as those of its kind did on average, or as those of all kinds. */
function secondsLeft(lab: Lab, all: readonly Cell[], missing: readonly Cell[]): number {
  const byKind = new Map<string, number[]>();
  for (const cell of all) {
    const stored = lab.settings.evidence.find(cell);
    if (stored) byKind.set(kindOf(cell), [...(byKind.get(kindOf(cell)) ?? []), stored.seconds]);
  }
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const overall = mean([...byKind.values()].flat());
  return missing.reduce((sum, cell) => sum + (byKind.has(kindOf(cell)) ? mean(byKind.get(kindOf(cell))!) : overall), 0);
}
