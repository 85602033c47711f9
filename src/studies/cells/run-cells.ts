/** Computes the cells of a study that are missing, one after another, each on disk before the next begins. */
import { lockFolder } from "../../storage/lock.ts";
import { type Cell, withNeeds } from "./cell.ts";
import { type Lab, secondsSince } from "./lab.ts";

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
 * Goes on where an earlier run was stopped: a stop loses the cell at work. Returns how many cells were computed.
 * @throws InputError if another process works in the folder, or a cell is there with other settings; the reason of the
 *   lab's signal if it is aborted.
 */
export async function runCells({ lab, cells, onCell }: RunRequest): Promise<number> {
  const { evidence, signal, threads, versions } = lab.settings;
  const planned = withNeeds(cells()); // what is refused is refused before anything is written
  const unlock = lockFolder(evidence.path);
  try {
    evidence.tidy(planned);
    for (let computed = 0; ; computed++) {
      const all = withNeeds(cells());
      const missing = all.filter((cell) => evidence.find(cell) === undefined);
      const [cell] = missing;
      if (!cell) return computed;
      signal.throwIfAborted();
      onCell?.(cell, stateOf(lab, all, missing));
      const started = performance.now();
      const result = await cell.compute(lab);
      signal.throwIfAborted();
      const seconds = secondsSince(started);
      await evidence.write(cell, result, { seconds, threads, versions });
      onCell?.(cell, stateOf(lab, all, missing.slice(1)), seconds);
    }
  } finally {
    unlock();
  }
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
