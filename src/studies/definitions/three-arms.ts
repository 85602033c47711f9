/** Small tables of the learned mask, the oracle's and the random mask of median loss, on any subject. */
import type { Find } from "../cells/cell.ts";
import { type Budget, seedsUpTo } from "../pipeline/budget.ts";
import type { RecoveredResult } from "../pipeline/recovered-cell.ts";
import { unpruned } from "../pipeline/students.ts";
import type { SubjectSpec } from "../pipeline/subject.ts";
import { distanceOf } from "../report/recovered-table.ts";
import { counted } from "../report/words.ts";
import { meanOf, meanText } from "../statistics/mean.ts";
import { pairedDifferences } from "../statistics/paired.ts";
import { ArmMaker } from "./recovered-arms.ts";
import type { Arm } from "./study.ts";

/** Three arms, and the teacher's own scores with one seed; `prefix` stands before their names. */
export function threeArms(study: string, prefix: string, spec: SubjectSpec, budget: Budget): Arm<RecoveredResult>[] {
  const make = new ArmMaker(study, spec, budget);
  const seeds = seedsUpTo(budget.otherSeeds);
  return [
    make.learned(`${prefix}learned`, seeds),
    make.chosen(`${prefix}oracle`, "oracle", seeds),
    make.chosen(`${prefix}random-median`, "random-median", seeds),
    make.arm(`${prefix}teacher`, seeds.slice(0, 1), () => unpruned, "none"),
  ];
}

/** How the learned mask compares with the two others, in a sentence; `what` begins it. */
export function threeArmsText(what: string, arms: readonly Arm<RecoveredResult>[], find: Find): string {
  const [learned, ...rivals] = arms.slice(0, 3) as [Arm<RecoveredResult>, ...Arm<RecoveredResult>[]];
  const parts = rivals.map((rival) => {
    const differences = pairedDifferences(learned, rival, find);
    const { n, mean, standardError } = meanOf(differences);
    const name = rival.name.split(" ").at(-1);
    if (n === 0) return `${name} is not there yet`;
    const error = n > 1 ? ` ± ${standardError.toFixed(1)}` : "";
    return `${Math.abs(mean).toFixed(1)}${error} ${mean > 0 ? "lower" : "higher"} than that of ${name}`;
  });
  const { n } = distanceOf(learned, find);
  if (n === 0) return `${what}: the learned mask has no cell yet.`;
  return `${what}: FD-digits of the learned mask is ${meanText(distanceOf(learned, find))}, ${parts.join(" and ")} (${counted(n, "seed")}).`;
}
