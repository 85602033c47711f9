/** FD-digits of arms by seed: means, and differences over the seeds that arms share. */
import type { Find } from "../cells/cell.ts";
import type { Arm } from "../definitions/study.ts";
import type { RecoveredResult } from "../pipeline/recovered-cell.ts";
import { type Mean, meanOf } from "../statistics/mean.ts";

export type RecoveredArms = readonly Arm<RecoveredResult>[];

/** FD-digits by seed, of the cells that are there and have scores. */
export function distancesOf({ cells }: Arm<RecoveredResult>, find: Find): ReadonlyMap<number, number> {
  return new Map(
    cells.flatMap((cell) => {
      const scores = find(cell)?.scores;
      return scores ? [[cell.seed, scores.distance] as const] : [];
    }),
  );
}

/** The seeds that have scores in each of these arms. */
export function commonSeeds(arms: RecoveredArms, find: Find): number[] {
  const [first, ...others] = arms.map((arm) => distancesOf(arm, find));
  return Array.from(first?.keys() ?? []).filter((seed) => others.every((distances) => distances.has(seed)));
}

/** FD-digits of an arm over all its seeds with scores, or over some of them. */
export function distanceOf(arm: Arm<RecoveredResult>, find: Find, seeds?: readonly number[]): Mean {
  const distances = distancesOf(arm, find);
  return meanOf(seeds ? seeds.map((seed) => distances.get(seed)!) : [...distances.values()]);
}

/** FD-digits of `rival` less that of `own`, above 0 where `own` is better, for the seeds that both have or for some of them. */
export function pairedDifferences(
  own: Arm<RecoveredResult>,
  rival: Arm<RecoveredResult>,
  find: Find,
  seeds: readonly number[] = commonSeeds([own, rival], find),
): number[] {
  const [ours, theirs] = [distancesOf(own, find), distancesOf(rival, find)];
  return seeds.map((seed) => theirs.get(seed)! - ours.get(seed)!);
}
