/** Study (d): is a low loss right after pruning a good guide? Random masks, three of them recovered, and every method's. */
import { binned, histogramChart, inMiddle, type MaskLoss, type PrunerMethod, pick, type Section } from "tinyfusion";
import { packagedBenchmark } from "../pipeline/benchmark.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import { chosenMask, learnedMask } from "../pipeline/masks.ts";
import {
  decisiveBlock,
  drawnMasks,
  largest,
  type Place,
  pickedLosses,
  type RandomMasks,
  randomMasks,
  smallest,
} from "../pipeline/random-masks.ts";
import { byKept } from "../pipeline/students.ts";
import { differencesSection } from "../report/differences.ts";
import { lossAndDistance, lossAndDistanceChart, lossAndDistanceSections } from "../report/loss-and-distance.ts";
import { divergedSections, recoveredBars, recoveredRows, recoveredSection } from "../report/recovered-table.ts";
import type { Figure, Study, StudyOptions } from "./study.ts";
import { isFree, table1 } from "./table1.ts";
import { VariantMaker } from "./variants.ts";

const NAME = "calibration-loss";
const places = ["min", "median", "max"] as const satisfies Place[];
const methods = [
  "oracle",
  "random-median",
  "shortgpt",
  "flux-lite",
  "sensitivity",
  "loss-greedy",
  "taylor",
  "uniform",
  "min-loss",
] as PrunerMethod[];

export function calibrationLoss(options: StudyOptions): Study {
  const { budget } = options;
  const benchmark = packagedBenchmark("dit", budget);
  const make = new VariantMaker(NAME, benchmark, budget);
  const seeds = seedsUpTo(budget.otherSeeds);
  const random = randomMasks(NAME, benchmark, budget);
  const picked = pickedLosses(NAME, benchmark, budget, [
    ["learned", learnedMask(benchmark, 0, budget)],
    ...methods.map((method) => [method, chosenMask(method, benchmark, 0, budget)] as const),
  ]);
  const recovered = places.map((place) =>
    make.variant(place, seeds, () =>
      byKept({ masks: random.file, place }, random, ({ picks, seconds }) => ({ kept: picks[place].kept, seconds })),
    ),
  );
  const halves = (result: RandomMasks) => decisiveBlock(drawnMasks(result, benchmark));
  const better = (["median", "max"] as const).map((place) =>
    make.variant(`${place} of better half`, seeds, () =>
      byKept({ masks: random.file, place, half: "better" }, random, (result) => {
        const masks = halves(result)?.better ?? drawnMasks(result, benchmark);
        const at = place === "median" ? inMiddle : (count: number) => count - 1;
        return { kept: pick(masks, at).kept, seconds: result.seconds };
      }),
    ),
  );
  const variants = [...recovered, ...better];
  const methodVariants = table1(options).methods;
  return {
    name: NAME,
    title: "Is a low loss after pruning a good guide?",
    question:
      "The losses of random masks right after pruning, where each method's mask lies among them, FD-digits after recovering the " +
      "masks of smallest, middle and largest loss, of all and of those on the better side of the block that decides most, and both " +
      "numbers for all methods of table1.",
    variants: () => [
      { name: "random masks", trials: [random] },
      { name: "picked masks", trials: [picked] },
      ...variants,
    ],
    report(find) {
      const losses = find(random);
      const picks = find(picked) ?? {};
      const figure = losses ? [histogram(losses, picks)] : [];
      const bars = recoveredBars("distances", "Masks by their loss, after equal recovery", variants, find);
      const both = lossAndDistance(methodVariants, find);
      return {
        figures: [lossAndDistanceChart(both, isFree), ...figure, bars],
        sections: [
          recoveredSection("Masks of smallest, middle and largest loss", variants, find),
          differencesSection(recovered[0]!, variants.slice(1), find),
          ...divergedSections(variants, find),
          ...(losses ? [picksSection(losses), ...halvesSection(drawnMasks(losses, benchmark))] : []),
          {
            heading: "Losses of the methods' masks",
            kind: "table",
            columns: ["method", "loss when pruned", "share of random masks below, %"],
            rows: Object.entries(picks)
              .sort(([, a], [, b]) => a - b)
              .map(([name, loss]) => [name, loss.toFixed(4), losses ? shareBelow(losses, loss).toFixed(1) : "–"]),
            caption: "With seed 0, all on the calibration examples of the random masks.",
          },
          ...lossAndDistanceSections(both),
        ],
        table: recoveredRows(variants, find),
      };
    },
  };
}

const finite = ({ losses }: RandomMasks): number[] => losses.filter((loss) => loss !== null);

const shareBelow = (random: RandomMasks, loss: number): number =>
  (100 * finite(random).filter((one) => one < loss).length) / finite(random).length;

const picksSection = ({ picks, losses }: RandomMasks): Section => ({
  heading: "Random masks of smallest, middle and largest loss",
  kind: "table",
  columns: ["mask", "loss when pruned", "kept blocks"],
  rows: places.map((place) => [place, picks[place].loss.toFixed(4), picks[place].kept.join(" ")]),
  caption: `Of ${losses.length} random masks.`,
});

/** Of the block between whose keepers and droppers mean losses differ most. */
function halvesSection(masks: readonly MaskLoss[]): Section[] {
  const found = decisiveBlock(masks);
  if (!found) return [];
  const row = (does: boolean, half: readonly MaskLoss[]) => [
    `${does ? "keep" : "drop"} block ${found.block}`,
    half.length,
    smallest(half).toFixed(2),
    largest(half).toFixed(2),
  ];
  return [
    {
      heading: "Random masks by the block that decides most",
      kind: "table",
      columns: ["masks that", "masks", "smallest loss", "largest loss"],
      rows: [row(found.keeps, found.better), row(!found.keeps, found.worse)],
      caption: "The block between whose keepers and droppers the mean losses differ most; the better half comes first.",
    },
  ];
}

/** Bins of the histogram. */
const BINS = 40;

function histogram(random: RandomMasks, picks: Readonly<Record<string, number>>): Figure {
  const values = finite(random);
  const { edges, counts } = binned(values, BINS);
  const marks = Object.entries(picks).map(([label, x]) => ({ label, x }));
  return {
    name: "losses",
    svg: histogramChart({
      title: `Losses of ${values.length} random masks right after pruning`,
      xLabel: "loss on the calibration examples",
      yLabel: "masks",
      edges,
      marks,
      series: [{ name: "random masks", counts }],
    }),
    caption:
      "Dotted lines: the masks of the methods, without recovery. One outside the random ones stands at the end of the axis.",
  };
}
