/** What a study of `tinyfusion pareto` will take: `--dry-run`, and the weights by which time that is left is told. */

import type { Engine } from "../../engine/engine.ts";
import { cacheOf } from "../../sampling/caching/step-cache.ts";
import { storedCell } from "../../tasks/pareto/cell.ts";
import type { Cell } from "../../tasks/pareto/grid.ts";
import { timedDraw } from "../../tasks/pareto/timed-draw.ts";
import type { TimesPlan } from "../../tasks/pareto/times.ts";
import type { CommandContext } from "../command.ts";
import { duration } from "../progress.ts";

/** A study before it runs. */
export interface Planned {
  readonly out: string;
  readonly cells: readonly Cell[];
  /** Cells that are not done. */
  readonly missing: readonly Cell[];
  readonly times: TimesPlan;
  readonly rounds: number;
  /** Denoiser evaluations of a batch. */
  readonly evaluations: ReadonlyMap<Cell, number>;
  readonly engine: Engine;
}

const blocksOf = ({ depth: { file, kept } }: Cell): number => kept?.length ?? file.model.config.depth;

/** About proportional to the time that cells take. */
export const workOf = (cells: readonly Cell[], evaluations: ReadonlyMap<Cell, number>): number =>
  cells.reduce((sum, cell) => sum + evaluations.get(cell)! * (blocksOf(cell) + 1), 0);

/** Cells whose evaluations take about the same time. */
const kindOf = ({ depth, sampling: { cache } }: Cell): string =>
  `${depth.name}${cache === undefined ? "" : `, cache ${cache}`}`;

/** Says how long the drawing and the timing that are left will take, by a pilot of each kind of cell. */
export async function dryRun(planned: Planned, { print, note, signal }: CommandContext): Promise<number> {
  const { out, cells, missing, times, rounds, evaluations, engine } = planned;
  const { count, batch } = cells[0]!.common;
  const [done, timed] = [cells.length - missing.length, cells.length * rounds - times.left.length];
  print(`${cells.length} cells of ${count} images, ${done} of them done; nothing is written`);
  print(`times: ${cells.length} in each of ${rounds} ${rounds === 1 ? "round" : "rounds"}, ${timed} of them taken`);
  const toTime = times.left.map(({ cell }) => cell);
  let [drawing, timing] = [0, 0];
  for (const kind of new Set([...missing, ...toTime].map(kindOf))) {
    const [toDrawNow, toTimeNow] = [missing, toTime].map((some) => some.filter((cell) => kindOf(cell) === kind));
    const pilot = [...toDrawNow!, ...toTimeNow!].reduce((a, b) => (evaluations.get(b)! < evaluations.get(a)! ? b : a));
    note(`pilot: a batch of ${batch}, ${kind}, ${evaluations.get(pilot)} evaluations …`);
    const stored = storedCell(out, pilot);
    const curves = stored && cacheOf(stored)?.curves;
    const seconds = await timedDraw(pilot, { engine, signal, ...(curves && { curves }) });
    const each = (seconds * batch) / evaluations.get(pilot)!;
    const batchesOf = (some: readonly Cell[]) => some.reduce((sum, cell) => sum + evaluations.get(cell)! * each, 0);
    const [drawn, measured] = [batchesOf(toDrawNow!) * Math.ceil(count / batch), batchesOf(toTimeNow!)];
    print(
      `${kind}: cells: ${toDrawNow!.length}, about ${duration(drawn)}; times: ${toTimeNow!.length}, about ${duration(measured)}`,
    );
    drawing += drawn;
    timing += measured;
  }
  print(
    `together about ${duration(drawing)} of drawing and ${duration(timing)} of timing, by pilots of one batch; compiling ` +
      "and scoring come on top",
  );
  return 0;
}
