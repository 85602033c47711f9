/** Small tables of the learned mask, the oracle's and the random mask of median loss, on any subject. */

import { counted } from "tinyfusion";
import type { Find } from "../cells/cell.ts";
import { type Budget, seedsUpTo } from "../pipeline/budget.ts";
import type { RecoveredResult } from "../pipeline/recovered-cell.ts";
import { unpruned } from "../pipeline/students.ts";
import type { SubjectSpec } from "../pipeline/subject.ts";
import { absenceText, differenceText, isClear, NOT_TOLD_APART } from "../report/compared.ts";
import { distanceOf, pairedDifferences } from "../report/distances.ts";
import { meanOf, meanText } from "../statistics/mean.ts";
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

/** How the learned mask compares with each of the two others over the seeds both have, in a sentence; `what` begins it. */
export function threeArmsText(what: string, arms: readonly Arm<RecoveredResult>[], find: Find): string {
  const [learned, ...rivals] = arms.slice(0, 3) as [Arm<RecoveredResult>, ...Arm<RecoveredResult>[]];
  const mean = distanceOf(learned, find);
  if (mean.n === 0) return `${what}: the learned mask ${absenceText(learned, find)}.`;
  const parts = rivals.map((rival) => {
    const name = rival.name.split(" ").at(-1);
    const difference = meanOf(pairedDifferences(learned, rival, find));
    if (difference.n === 0)
      return `${name} ${distanceOf(rival, find).n > 0 ? "shares no seed" : absenceText(rival, find)}`;
    const doubt = isClear(difference) ? "" : `, ${NOT_TOLD_APART}`;
    return `${differenceText(difference)} than that of ${name} (${counted(difference.n, "pair")}${doubt})`;
  });
  return `${what}: FD-digits of the learned mask is ${meanText(mean)} (${counted(mean.n, "seed")}); ${parts.join("; ")}.`;
}
