/** Study (d): is a low loss right after pruning a good guide? Random masks, three of them recovered, and every method's. */
import type { PrunerMethod } from "../../pruning/scored/pruners.ts";
import type { Find } from "../cells/cell.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import { type Place, pickedLosses, type RandomMasks, randomMasks } from "../pipeline/mask-losses.ts";
import { chosenMask, learnedMask } from "../pipeline/masks.ts";
import type { RecoveredResult } from "../pipeline/recovered-cell.ts";
import { byKept } from "../pipeline/students.ts";
import { packagedSubject } from "../pipeline/subject.ts";
import { differenceText, isClear, missingText, NOT_TOLD_APART } from "../report/compared.ts";
import { commonSeeds, distanceOf, pairedDifferences } from "../report/distances.ts";
import { binned, histogramChart } from "../report/histogram-chart.ts";
import {
  correlationText,
  lossAndDistance,
  lossAndDistanceChart,
  lossAndDistanceText,
} from "../report/loss-and-distance.ts";
import { recoveredBars, recoveredRows, recoveredSection, troubleText } from "../report/recovered-table.ts";
import { counted } from "../report/words.ts";
import { meanOf, meanText } from "../statistics/mean.ts";
import { ArmMaker } from "./recovered-arms.ts";
import type { Arm, Drawing, Study, StudyOptions } from "./study.ts";
import { isFree, table1 } from "./table1.ts";

const NAME = "calibration-loss";
const places = ["min", "median", "max"] as const satisfies Place[];
const methods = [
  ...["oracle", "random-median", "shortgpt", "flux-lite", "sensitivity", "loss-greedy", "taylor"],
  ...["uniform", "min-loss"],
] as PrunerMethod[];

export function calibrationLoss(options: StudyOptions): Study {
  const { budget } = options;
  const spec = packagedSubject("dit", budget);
  const make = new ArmMaker(NAME, spec, budget);
  const seeds = seedsUpTo(budget.otherSeeds);
  const random = randomMasks(NAME, spec, budget);
  const picked = pickedLosses(NAME, spec, budget, [
    ["learned", learnedMask(spec, 0, budget)],
    ...methods.map((method) => [method, chosenMask(method, spec, 0, budget)] as const),
  ]);
  const recovered = places.map((place) =>
    make.arm(place, seeds, () =>
      byKept({ masks: random.file, place }, random, ({ picks, seconds }) => ({ kept: picks[place].kept, seconds })),
    ),
  );
  const methodArms = table1(options).methods;
  return {
    name: NAME,
    title: "Is a low loss after pruning a good guide?",
    question:
      "The losses of random masks right after pruning, where each method's mask lies among them, FD-digits after recovering the " +
      "masks of smallest, middle and largest loss, and both numbers for all methods of table1.",
    arms: () => [{ name: "random masks", cells: [random] }, { name: "picked masks", cells: [picked] }, ...recovered],
    report(find) {
      const losses = find(random);
      const picks = find(picked) ?? {};
      const drawing = losses ? [histogram(losses, picks)] : [];
      const bars = recoveredBars("distances", "Masks by their loss, after equal recovery", recovered, find);
      const both = lossAndDistance(methodArms, find);
      return {
        headline: [QUESTION, headlineOf(recovered, find), correlationText(both)].filter(Boolean).join(" "),
        answer: [answerOf(recovered, losses, find), lossAndDistanceText(both)].filter(Boolean).join(" "),
        drawings: [lossAndDistanceChart(both, isFree), ...drawing, bars],
        sections: [
          recoveredSection("Masks of smallest, middle and largest loss", recovered, find),
          {
            heading: "Losses of the methods' masks",
            kind: "table",
            columns: ["method", "loss when pruned", "share of random masks below, %"],
            rows: Object.entries(picks)
              .sort(([, a], [, b]) => a - b)
              .map(([name, loss]) => [name, loss.toFixed(4), losses ? shareBelow(losses, loss).toFixed(1) : "–"]),
            caption: "With seed 0, all on the calibration examples of the random masks.",
          },
        ],
        table: recoveredRows(recovered, find),
      };
    },
  };
}

const finite = ({ losses }: RandomMasks): number[] => losses.filter((loss) => loss !== null);

const shareBelow = (random: RandomMasks, loss: number): number =>
  (100 * finite(random).filter((one) => one < loss).length) / finite(random).length;

/** Bins of the histogram. */
const BINS = 40;

function histogram(random: RandomMasks, picks: Readonly<Record<string, number>>): Drawing {
  const values = finite(random);
  const { edges, counts } = binned(values, BINS);
  const marks = Object.entries(picks).map(([label, x]) => ({ label, x }));
  return {
    name: "losses",
    svg: histogramChart({
      title: `Losses of ${values.length} random masks right after pruning`,
      ...{ xLabel: "loss on the calibration examples", yLabel: "masks", edges, marks },
      series: [{ name: "random masks", counts }],
    }),
    caption:
      "Dotted lines: the masks of the methods, without recovery. One outside the random ones stands at the end of the axis.",
  };
}

const words = { min: "smallest", median: "middle", max: "largest" } as const satisfies Record<Place, string>;

const QUESTION = "Is low calibration loss a bad guide here too?";

function answerOf(arms: readonly Arm<RecoveredResult>[], losses: RandomMasks | undefined, find: Find): string {
  if (!losses) return `${QUESTION} No random mask was looked at yet.`;
  const [min, median, max] = arms as [Arm<RecoveredResult>, Arm<RecoveredResult>, Arm<RecoveredResult>];
  const seeds = commonSeeds(arms, find);
  const missing = missingText(arms, find);
  const verdict =
    missing ?? (seeds.length > 0 ? verdictOf(min, median, seeds, find) : "No seed has scores for all three masks.");
  const text = (arm: Arm<RecoveredResult>, place: Place) =>
    `${meanText(distanceOf(arm, find, seeds))} for the one of ${words[place]} loss (${losses.picks[place].loss.toFixed(4)})`;
  const numbers =
    seeds.length === 0
      ? ""
      : `Of ${losses.losses.length} random masks, over ${counted(seeds.length, "common seed")}, FD-digits after recovery is ` +
        `${text(min, "min")}, ${text(median, "median")} and ${text(max, "max")}. Each is one mask: the errors are of recovery ` +
        "and sampling.";
  return [QUESTION, verdict, numbers, troubleText(arms, find)].filter(Boolean).join(" ");
}

/** Yes or no, by how much; that of the full answer without what may be behind it. */
function headlineOf([min, median, max]: readonly Arm<RecoveredResult>[], find: Find): string {
  const arms = [min!, median!, max!];
  const seeds = commonSeeds(arms, find);
  if (missingText(arms, find) || seeds.length === 0) return "That is open: cells are missing.";
  const difference = meanOf(pairedDifferences(min!, median!, find, seeds));
  const verdict = isClear(difference) ? (difference.mean < 0 ? "Yes" : "No") : `Among random masks ${NOT_TOLD_APART}`;
  return (
    `${verdict}: of random masks the one of smallest loss recovers to ${meanText(distanceOf(min!, find, seeds))}, the one in ` +
    `the middle to ${meanText(distanceOf(median!, find, seeds))}, that of largest loss to ${meanText(distanceOf(max!, find, seeds))}.`
  );
}

/** The mask of smallest loss against the one in the middle. */
function verdictOf(
  min: Arm<RecoveredResult>,
  median: Arm<RecoveredResult>,
  seeds: readonly number[],
  find: Find,
): string {
  const difference = meanOf(pairedDifferences(min, median, find, seeds));
  const found = `FD-digits of the mask of smallest loss is ${differenceText(difference)} than that of the one in the middle (${counted(difference.n, "paired seed")})`;
  if (!isClear(difference)) {
    return (
      `The two are ${NOT_TOLD_APART}: ${found}, unlike in the paper. A hypothesis: neighbouring blocks of this teacher are nearly ` +
      "equal, and recovery evens out which of two stays; a shorter recovery would tell."
    );
  }
  if (difference.mean < 0) return `Yes: ${found}, as in the paper.`;
  return (
    `No: ${found}, unlike in the paper. A hypothesis: with one of every two neighbours kept, no mask of this teacher removes a ` +
    "whole region, and loss and recovery go together; random masks without groups would tell."
  );
}
