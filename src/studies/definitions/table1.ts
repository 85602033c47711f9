/** Study (a), the paper's table 1 in small: every method at half depth, and half width, after equal recovery. */
import type { PrunerMethod } from "../../pruning/scored/pruners.ts";
import type { Find } from "../cells/cell.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import type { RecoveredResult } from "../pipeline/recovered-cell.ts";
import { type SpeedResult, speedCell } from "../pipeline/speed-cell.ts";
import { byWidth, unpruned } from "../pipeline/students.ts";
import { packagedSubject } from "../pipeline/subject.ts";
import { comparedWith, missingText, standingText } from "../report/compared.ts";
import { distanceOf } from "../report/distances.ts";
import { primaryAnswer, primarySection } from "../report/primary.ts";
import { primaryComparisons } from "../report/primary-comparisons.ts";
import { recoveredBars, recoveredRows, recoveredSection, troubleText } from "../report/recovered-table.ts";
import { speedSection } from "../report/speed-table.ts";
import { counted } from "../report/words.ts";
import { ArmMaker } from "./recovered-arms.ts";
import type { Arm, Study, StudyOptions } from "./study.ts";

/** Methods that rank blocks by a score or a loss. */
const scored = ["shortgpt", "flux-lite", "sensitivity", "loss-greedy", "taylor"] as const satisfies PrunerMethod[];

const NAME = "table1";
const LEARNED = "learned";
const TEACHER = "teacher";

const FREE = "-free";

/** Whether an arm's blocks stay anywhere, not one of every two. */
export const isFree = (arm: string): boolean => arm.endsWith(FREE);

interface Table1 extends Study {
  /** The arm of the learned mask with these seeds. */
  learned(seeds: readonly number[]): Arm<RecoveredResult>;
  /** The arms of half depth with the common seeds. */
  readonly methods: readonly Arm<RecoveredResult>[];
}

/** Arms of primary comparisons have all seeds, the others the common ones. */
export function table1({ budget }: StudyOptions): Table1 {
  const make = new ArmMaker(NAME, packagedSubject("dit", budget), budget);
  const [primary, common] = [seedsUpTo(budget.primarySeeds), seedsUpTo(budget.otherSeeds)];
  // Under the constraint of the learned mask, and as published: anywhere.
  const scoredArms = (seeds: readonly number[]) =>
    scored.flatMap((method) => [
      make.chosen(method, method, seeds),
      make.chosen(`${method}${FREE}`, method, seeds, "free"),
    ]);
  const speed = speedCell(NAME, packagedSubject("dit", budget), budget);
  const own = make.learned(LEARNED, primary);
  const rivals = [make.chosen("oracle", "oracle", primary), make.chosen("random-median", "random-median", primary)];
  const best = (find: Find): Arm<RecoveredResult> | undefined => {
    const name = bestOf(scoredArms(common), find);
    return scoredArms(primary).find((arm) => arm.name === name);
  };
  const others = (["uniform", "random", "min-loss"] as const).map((method) => make.chosen(method, method, common));
  const arms = (find: Find): Arm<RecoveredResult>[] => {
    const winner = best(find);
    return [
      ...[own, ...rivals],
      ...scoredArms(common).map((arm) => (arm.name === winner?.name ? winner : arm)),
      ...others,
      make.arm("width", common, () => byWidth(budget)),
      make.arm(TEACHER, common, () => unpruned, "none"),
    ];
  };
  return {
    name: NAME,
    title: "Every pruner at half depth, after equal recovery",
    isHeadline: true,
    question:
      "Is a learned mask better than importance, error and luck after the same recovery? (Table 1 of the paper, in small.)",
    arms: (find) => [...arms(find), { name: "speed", cells: [speed] }],
    report: (find) => reportOf(arms(find), { own, rivals, best: best(find), speed: find(speed), find }),
    learned: (seeds) => make.learned(LEARNED, seeds),
    methods: [
      make.learned(LEARNED, common),
      ...(["oracle", "random-median"] as const).map((method) => make.chosen(method, method, common)),
      ...scoredArms(common),
      ...others,
    ],
  };
}

/**
 * The method of lowest mean FD-digits over the common seeds, known once all cells of all of them are there; of equal
 * ones the first. So it is chosen before its other seeds are run.
 */
export function bestOf(arms: readonly Arm<RecoveredResult>[], find: Find): string | undefined {
  if (!arms.every(({ cells }) => cells.every((cell) => find(cell) !== undefined))) return undefined;
  const ranked = arms.map((arm) => {
    const { n, mean } = distanceOf(arm, find);
    return { name: arm.name, mean: n === arm.cells.length ? mean : Number.POSITIVE_INFINITY };
  });
  return ranked.reduce((a, b) => (b.mean < a.mean ? b : a)).name;
}

/** Against the methods by score without the constraint of the learned mask; empty while cells are missing. */
function asPublishedText(own: Arm<RecoveredResult>, arms: readonly Arm<RecoveredResult>[], find: Find): string {
  const free = arms.filter(({ name }) => isFree(name));
  const compared = comparedWith(own, free, find);
  if (missingText(free, find) || compared.others.length === 0 || compared.mean.n === 0) return "";
  const sizes = compared.others.map(({ difference }) => difference.mean);
  return (
    `Against methods by score as published, which keep blocks anywhere, it is ${standingText(compared)} ` +
    `(differences of ${Math.min(...sizes).toFixed(1)} to ${Math.max(...sizes).toFixed(1)}, ${counted(compared.mean.n, "common seed")}).`
  );
}

interface Compared {
  readonly own: Arm<RecoveredResult>;
  readonly rivals: readonly Arm<RecoveredResult>[];
  readonly best: Arm<RecoveredResult> | undefined;
  readonly speed: SpeedResult | undefined;
  readonly find: Find;
}

function reportOf(arms: readonly Arm<RecoveredResult>[], { own, rivals, best, speed, find }: Compared) {
  const tested = [
    ...rivals.map((arm) => ({ name: arm.name, arm })),
    { name: best ? `${best.name} (best by score)` : "the best by score", arm: best },
  ];
  const comparisons = primaryComparisons(own, tested, find);
  const untested = arms.filter(
    ({ name }) => ![TEACHER, ...[own, best, ...rivals].map((arm) => arm?.name)].includes(name),
  );
  const others = untested.map((arm) => comparedWith(arm, [own], find));
  const trouble = troubleText(arms, find);
  const ranked = arms
    .filter((arm) => distanceOf(arm, find).n > 0)
    .sort((a, b) => distanceOf(a, find).mean - distanceOf(b, find).mean);
  const shown = [...ranked, ...arms.filter((arm) => !ranked.includes(arm))];
  return {
    answer: [primaryAnswer(comparisons, others), asPublishedText(own, arms, find)].filter(Boolean).join(" "),
    drawings: [recoveredBars("distances", "Half of the blocks, after equal recovery", shown, find, LEARNED)],
    sections: [
      recoveredSection("All arms, from best to worst", shown, find, LEARNED),
      primarySection(comparisons),
      ...(speed ? [speedSection(speed)] : []),
      {
        kind: "text" as const,
        text:
          "Arms named -free place their half of the blocks anywhere, as published; all others keep one of every two, as the " +
          "learned mask does. `width` is Diff-Pruning at half of the heads and MLP channels; it keeps all blocks." +
          (trouble && `\n\n${trouble}`),
      },
    ],
    table: recoveredRows(arms, find),
  };
}
