/** The primary comparisons: exact tests that were fixed before running, each of the learned mask against one rival. */
import { listed, type Section } from "tinyfusion";
import type { RecoveredResult } from "../pipeline/recovered-trial.ts";
import { holm, meanOf, meanText, type SignFlipTest, signFlipTest } from "../statistics.ts";
import type { Variant } from "../studies/study.ts";
import type { Find } from "../trials/trial.ts";
import { commonSeeds, distancesOf, pairedDifferences } from "./differences.ts";

/** Below it a comparison counts as decided; fixed before running. */
const LEVEL = 0.05;

/** Its hypothesis, fixed before running: the rival's mean FD-digits is the higher one. */
export interface PrimaryComparison {
  readonly rival: string;
  /** Seeds with scores in both variants. */
  readonly seeds: readonly number[];
  /** Undefined while there is no common seed. */
  readonly test?: SignFlipTest;
  /** Whether all planned pairs have scores. Before, a p-value would invite to stop when it looks good. */
  readonly isComplete: boolean;
  /** One-sided, corrected for all primary comparisons; undefined while one of them is not complete. */
  readonly corrected?: number;
}

/** A rival by the name it is shown with; its variant is absent while it is not chosen. */
export interface Rival {
  readonly name: string;
  readonly variant?: Variant<RecoveredResult> | undefined;
}

/** Tests `own` against each rival. */
export function primaryComparisons(
  own: Variant<RecoveredResult>,
  rivals: readonly Rival[],
  find: Find,
): PrimaryComparison[] {
  const found = rivals.map(({ name: rival, variant }): PrimaryComparison => {
    if (!variant) return { rival, seeds: [], isComplete: false };
    const seeds = commonSeeds([own, variant], find);
    const isComplete = [own, variant].every((one) => distancesOf(one, find).size === one.trials.length);
    if (seeds.length === 0) return { rival, seeds, isComplete };
    return { rival, seeds, isComplete, test: signFlipTest(pairedDifferences(own, variant, find, seeds)) };
  });
  if (!found.every(({ isComplete }) => isComplete)) return found;
  const corrected = holm(found.map(({ test }) => test!.oneSided));
  return found.map((one, i) => ({ ...one, corrected: corrected[i]! }));
}

/** The tests, and how near the compared masks are, as two tables. */
export function primarySections(own: Variant<RecoveredResult>, rivals: readonly Rival[], find: Find): Section[] {
  const comparisons = primaryComparisons(own, rivals, find);
  const pText = (p: number | undefined) => (p === undefined ? "–" : p < 0.0095 ? p.toFixed(4) : p.toFixed(3));
  const masks = comparisons.map(({ seeds }, i) =>
    [own, rivals[i]!.variant].map((variant) => masksOf(variant, seeds, find)),
  );
  return [
    {
      heading: "Primary comparisons",
      kind: "table",
      columns: [
        "learned against",
        "paired seeds",
        "different masks, learned and rival",
        "rival − learned",
        "p one-sided",
        "p two-sided",
        "p after Holm",
      ],
      rows: comparisons.map(({ rival, seeds, test, isComplete, corrected }, i) => [
        rival,
        seeds.length,
        masks[i]!.join(", "),
        test ? meanText(test) : "–",
        pText(isComplete ? test?.oneSided : undefined),
        pText(isComplete ? test?.twoSided : undefined),
        pText(corrected),
      ]),
      strongRows: comparisons.flatMap(({ corrected = 1 }, row) => (corrected < LEVEL ? [row] : [])),
      caption: `${caption}${oneMaskText(comparisons, masks)}`,
    },
    {
      heading: "How near the masks of the primary comparisons are",
      kind: "table",
      columns: ["learned against", "shared blocks", "of blocks", "held-out loss, rival − learned"],
      rows: comparisons.flatMap(({ rival, seeds }, i) =>
        seeds.length > 0 ? [[rival, ...nearness(own, rivals[i]!.variant!, seeds, find)]] : [],
      ),
      caption: "Means over the paired seeds. The held-out loss is that after recovery.",
    },
  ];
}

const caption =
  "Exact sign-flip tests of FD-digits, paired by seed. The hypothesis, fixed before running, is that the rival's is " +
  `higher; Holm's correction is over these three one-sided tests, bold is below ${LEVEL}. The best method by score is the ` +
  "one of lowest mean over the common seeds, chosen before its further seeds are run; those common seeds count in its " +
  "test, which favours it. No p-value is shown before all planned pairs have scores. All else in these studies is mean ± " +
  "standard error, without p-values.";

/** Seeds that share a mask do not show how masks differ. */
function oneMaskText(comparisons: readonly PrimaryComparison[], masks: readonly (readonly number[])[]): string {
  const several = comparisons.flatMap(({ rival, seeds }, i) => (seeds.length > 1 ? [{ rival, masks: masks[i]! }] : []));
  const names = several.filter(({ masks: [, rivals] }) => rivals === 1).map(({ rival }) => rival);
  if (several.some(({ masks: [learned] }) => learned === 1)) names.unshift("learned");
  if (names.length === 0) return "";
  return ` All seeds of ${listed(names)} have one mask: the spread there is of recovery and sampling only.`;
}

/** How many different masks a variant has with these seeds. */
const masksOf = (variant: Variant<RecoveredResult> | undefined, seeds: readonly number[], find: Find): number =>
  new Set(seeds.map((seed) => String(resultOf(variant!, seed, find).kept))).size;

/** Blocks that both masks keep, of how many, and by how much the losses after recovery differ. */
function nearness(
  own: Variant<RecoveredResult>,
  rival: Variant<RecoveredResult>,
  seeds: readonly number[],
  find: Find,
) {
  const pairs = seeds.map((seed) => [resultOf(own, seed, find), resultOf(rival, seed, find)] as const);
  const shared = pairs.map(([a, b]) => (a.kept ?? []).filter((block) => b.kept?.includes(block)).length);
  const losses = pairs.map(([a, b]) => (b.losses.heldOut ?? Number.NaN) - (a.losses.heldOut ?? Number.NaN));
  return [meanOf(shared).mean.toFixed(1), pairs[0]![0].blocks, meanText(meanOf(losses), 5)];
}

const resultOf = ({ trials }: Variant<RecoveredResult>, seed: number, find: Find): RecoveredResult =>
  find(trials.find((trial) => trial.seed === seed)!)!;
