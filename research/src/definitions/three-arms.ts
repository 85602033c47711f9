/** Small tables of the learned mask, the oracle's and the random mask of median loss, on any subject. */

import { type Budget, seedsUpTo } from "../pipeline/budget.ts";
import type { RecoveredResult } from "../pipeline/recovered-cell.ts";
import { unpruned } from "../pipeline/students.ts";
import type { SubjectSpec } from "../pipeline/subject.ts";
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
