/** Study (h): how long a search must be, and how fast its gates may move, until decisions no longer change and seeds agree. */
import { lineChart, type Section } from "tinyfusion";
import { packagedBenchmark } from "../pipeline/benchmark.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import { GATE_RATE, learnedMask, type MaskResult } from "../pipeline/masks.ts";
import { byMask } from "../pipeline/students.ts";
import { differencesSection } from "../report/differences.ts";
import { divergedSections, recoveredBars, recoveredSection } from "../report/recovered-table.ts";
import { agreementOf, lastFlip, meanOf, meanText } from "../statistics.ts";
import type { Find } from "../trials/trial.ts";
import { type Figure, resultsOf, type Study, type StudyOptions, type StudyReport, type Variant } from "./study.ts";
import { table1 } from "./table1.ts";
import { VariantMaker } from "./variants.ts";

const FAST = 3e-2;
const rates = [GATE_RATE, 5e-3, FAST] as const;

interface Searches extends Variant<MaskResult> {
  readonly steps: number;
  readonly rate: number;
}

export function searchLength(options: StudyOptions): Study {
  const { budget } = options;
  const benchmark = packagedBenchmark("dit", budget);
  const { depth } = benchmark.model.config;
  const seeds = seedsUpTo(budget.otherSeeds);
  const variants = rates.flatMap((rate) =>
    budget.searchLengths.map(
      (steps): Searches => ({
        name: `${steps} steps at ${rate}`,
        steps,
        rate,
        trials: seeds.map((seed) => learnedMask(benchmark, seed, budget, { steps, gateRate: rate })),
      }),
    ),
  );
  const slow = { ...table1(options).learned(seeds), name: `gate rate ${GATE_RATE}` };
  const fast = new VariantMaker("search-length", benchmark, budget).variant(`gate rate ${FAST}`, seeds, (seed) =>
    byMask(learnedMask(benchmark, seed, budget, { gateRate: FAST })),
  );
  const recovered = [slow, fast];
  return {
    name: "search-length",
    title: "How long a search must be",
    question:
      "Searches of several lengths and gate rates: after which share of its steps does a decision no longer change, and do seeds find the " +
      "same mask? And does a mask recover as well that fast gates chose, before the weight update had learned anything?",
    variants: () => [...variants, fast],
    report(find) {
      const begun = variants.filter((variant) => resultsOf(variant, find).length > 0);
      return {
        figures: [
          ...figures(begun, depth, find),
          recoveredBars("distances", "Masks of slow and fast gates, after equal recovery", recovered, find, slow.name),
        ],
        sections: [
          {
            heading: "Lengths and rates",
            kind: "table" as const,
            columns: [
              "steps",
              "gate rate",
              "seeds",
              "changes",
              "last change after, % of the run",
              "latest",
              "seeds agree, %",
              "s",
            ],
            rows: begun.map((variant) => rowOf(variant, depth, find)),
            caption:
              "Agreement: share of blocks that two seeds decide alike, mean over pairs of seeds; at random it would be about 50%.",
          },
          recoveredSection("Masks of slow and fast gates, recovered", recovered, find, slow.name),
          sameMaskSection(begun, find),
          differencesSection(slow, [fast], find),
          ...divergedSections(recovered, find),
        ],
        table: rowsOf(begun, find),
      };
    },
  };
}

const agreement = (variant: Searches, depth: number, find: Find): number =>
  agreementOf(
    resultsOf(variant, find).map(({ kept }) => kept),
    depth,
  );

/** The last change with each seed, in % of the run. */
const lastChanges = (variant: Searches, find: Find): number[] =>
  resultsOf(variant, find).map(({ flips = [] }) => 100 * lastFlip(flips, variant.steps));

const settling = (variant: Searches, find: Find) => meanOf(lastChanges(variant, find));

const latest = (variant: Searches, find: Find): number => Math.max(...lastChanges(variant, find));

function rowOf(variant: Searches, depth: number, find: Find): (string | number)[] {
  const results = resultsOf(variant, find);
  const agree = agreement(variant, depth, find);
  return [
    variant.steps,
    variant.rate,
    results.length,
    meanText(meanOf(results.map(({ flips = [] }) => flips.length))),
    meanText(settling(variant, find), 0),
    latest(variant, find).toFixed(0),
    Number.isFinite(agree) ? (100 * agree).toFixed(0) : "–",
    meanOf(results.map(({ seconds }) => seconds)).mean.toFixed(0),
  ];
}

function figures(variants: readonly Searches[], depth: number, find: Find): Figure[] {
  const chart = (name: string, title: string, yLabel: string, of: (variant: Searches) => number): Figure => ({
    name,
    svg: lineChart({
      title,
      yLabel,
      xLabel: "steps of the search",
      series: rates.map((rate) => ({
        name: `gate rate ${rate}`,
        points: variants
          .filter((variant) => variant.rate === rate)
          .map((variant) => [variant.steps, of(variant)] as const),
      })),
    }),
    caption: "Means over seeds.",
  });
  return [
    chart(
      "settling",
      "When decisions stop changing",
      "last change, % of the run",
      (variant) => settling(variant, find).mean,
    ),
    chart(
      "agreement",
      "Do seeds agree?",
      "blocks decided alike, %",
      (variant) => 100 * agreement(variant, depth, find),
    ),
  ];
}

/** One row a search. */
function rowsOf(variants: readonly Searches[], find: Find): StudyReport["table"] {
  return {
    columns: ["steps", "gate_rate", "seed", "kept", "flips", "last_flip_share", "lowest_confidence", "seconds"],
    rows: variants.flatMap((variant) =>
      variant.trials.flatMap((trial) => {
        const mask = find(trial);
        if (!mask) return [];
        const { kept, flips = [], confidence = [], seconds } = mask;
        const last = lastFlip(flips, variant.steps);
        return [
          [
            variant.steps,
            variant.rate,
            trial.seed,
            kept.join(" "),
            flips.length,
            last,
            Math.min(...confidence),
            seconds,
          ],
        ];
      }),
    ),
  };
}

/** How many masks the searches of at least so many steps found, of every rate and seed. */
function sameMaskSection(variants: readonly Searches[], find: Find): Section {
  const lengths = [...new Set(variants.map(({ steps }) => steps))];
  return {
    heading: "Masks of longer searches",
    kind: "table",
    columns: ["searches of at least so many steps", "searches", "different masks"],
    rows: lengths.map((length) => {
      const masks = variants.filter(({ steps }) => steps >= length).flatMap((variant) => resultsOf(variant, find));
      return [length, masks.length, new Set(masks.map(({ kept }) => String(kept))).size];
    }),
    caption: "Of all gate rates and seeds.",
  };
}
