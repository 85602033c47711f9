/** Study (a), the paper's table 1 in small: every method at half depth, and half width, after equal recovery. */
import type { PrunerMethod, Section } from "tinyfusion";
import { packagedBenchmark } from "../pipeline/benchmark.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import type { RecoveredResult } from "../pipeline/recovered-trial.ts";
import { type SpeedResult, speedTrial } from "../pipeline/speed-trial.ts";
import { byWidth, unpruned } from "../pipeline/students.ts";
import { differencesSection, distanceOf, type RecoveredVariants } from "../report/differences.ts";
import { primarySections } from "../report/primary.ts";
import { divergedSections, recoveredBars, recoveredRows, recoveredSection } from "../report/recovered-table.ts";
import type { Find } from "../trials/trial.ts";
import type { Study, StudyOptions, Variant } from "./study.ts";
import { VariantMaker } from "./variants.ts";

/** Methods that rank blocks by a score or a loss. */
const scored = ["shortgpt", "flux-lite", "sensitivity", "loss-greedy", "taylor"] as const satisfies PrunerMethod[];

const NAME = "table1";
const LEARNED = "learned";

const FREE = "-free";

/** Whether a variant's blocks stay anywhere, not one of every two. */
export const isFree = (variant: string): boolean => variant.endsWith(FREE);

interface Table1 extends Study {
  /** The variant of the learned mask with these seeds. */
  learned(seeds: readonly number[]): Variant<RecoveredResult>;
  /** The variants of half depth with the common seeds. */
  readonly methods: readonly Variant<RecoveredResult>[];
}

/** Variants of primary comparisons have all seeds, the others the common ones. */
export function table1({ budget }: StudyOptions): Table1 {
  const make = new VariantMaker(NAME, packagedBenchmark("dit", budget), budget);
  const [primary, common] = [seedsUpTo(budget.primarySeeds), seedsUpTo(budget.otherSeeds)];
  // Under the constraint of the learned mask, and as published: anywhere.
  const scoredVariants = (seeds: readonly number[]) =>
    scored.flatMap((method) => [
      make.chosen(method, method, seeds),
      make.chosen(`${method}${FREE}`, method, seeds, "free"),
    ]);
  const speed = speedTrial(NAME, packagedBenchmark("dit", budget), budget);
  const own = make.learned(LEARNED, primary);
  const rivals = [make.chosen("oracle", "oracle", primary), make.chosen("random-median", "random-median", primary)];
  const best = (find: Find): Variant<RecoveredResult> | undefined => {
    const name = bestOf(scoredVariants(common), find);
    return scoredVariants(primary).find((variant) => variant.name === name);
  };
  const width = make.variant("width", common, () => byWidth(budget));
  const teacher = make.variant("teacher", common, () => unpruned, "none");
  const others = (["uniform", "random", "min-loss"] as const).map((method) => make.chosen(method, method, common));
  const variants = (find: Find): Variant<RecoveredResult>[] => {
    const winner = best(find);
    return [
      own,
      ...rivals,
      ...scoredVariants(common).map((variant) => (variant.name === winner?.name ? winner : variant)),
      ...others,
      width,
      teacher,
    ];
  };
  return {
    name: NAME,
    title: "Every pruner at half depth, after equal recovery",
    question:
      "Is a learned mask better than importance, error and luck after the same recovery? (Table 1 of the paper, in small.)",
    variants: (find) => [...variants(find), { name: "speed", trials: [speed] }],
    report(find) {
      const shown = fromBest(variants(find), find);
      const others = shown.filter(({ name }) => name !== own.name && name !== teacher.name);
      const winner = best(find);
      const tested = [
        ...rivals.map((variant) => ({ name: variant.name, variant })),
        { name: winner ? `${winner.name} (best by score)` : "the best by score", variant: winner },
      ];
      const speeds = find(speed);
      return {
        figures: [recoveredBars("distances", "Half of the blocks, after equal recovery", shown, find, own.name)],
        sections: [
          recoveredSection("All variants, from best to worst", shown, find, own.name),
          { kind: "text", text: FREE_TEXT },
          ...primarySections(own, tested, find),
          differencesSection(own, others, find),
          ...divergedSections(shown, find),
          ...(speeds ? [speedSection(speeds)] : []),
        ],
        table: recoveredRows(variants(find), find),
      };
    },
    learned: (seeds) => make.learned(LEARNED, seeds),
    methods: [
      make.learned(LEARNED, common),
      ...(["oracle", "random-median"] as const).map((method) => make.chosen(method, method, common)),
      ...scoredVariants(common),
      ...others,
    ],
  };
}

/**
 * The method of lowest mean FD-digits over the common seeds, known once all trials of all of them are there; of equal
 * ones the first. So it is chosen before its other seeds are run.
 */
export function bestOf(variants: readonly Variant<RecoveredResult>[], find: Find): string | undefined {
  if (!variants.every(({ trials }) => trials.every((trial) => find(trial) !== undefined))) return undefined;
  const ranked = variants.map((variant) => {
    const { n, mean } = distanceOf(variant, find);
    return { name: variant.name, mean: n === variant.trials.length ? mean : Number.POSITIVE_INFINITY };
  });
  return ranked.reduce((a, b) => (b.mean < a.mean ? b : a)).name;
}

/** By mean FD-digits; those without scores last. */
function fromBest(variants: RecoveredVariants, find: Find): RecoveredVariants {
  const mean = (variant: Variant<RecoveredResult>) => distanceOf(variant, find).mean;
  const scored = variants.filter((variant) => distanceOf(variant, find).n > 0);
  return [...scored.toSorted((a, b) => mean(a) - mean(b)), ...variants.filter((variant) => !scored.includes(variant))];
}

const FREE_TEXT =
  "Variants named -free keep half of the blocks anywhere, as published; all others keep one of every two, as the learned mask " +
  "does. `width` is Diff-Pruning at half of the heads and MLP channels; it keeps all blocks.";

/** One row a model. */
export function speedSection({ models }: SpeedResult): Section {
  return {
    heading: "Speed",
    kind: "table",
    columns: ["model", "times as fast", "least – most", "ms an image", "GMACs an image", "parameters"],
    rows: models.map(({ name, ratio, least, most, secondsPerImage, macsPerImage, parameters }) => [
      name,
      ratio.toFixed(2),
      `${least.toFixed(2)} – ${most.toFixed(2)}`,
      (1000 * secondsPerImage).toFixed(1),
      (macsPerImage / 1e9).toFixed(2),
      parameters.toLocaleString("en-US"),
    ]),
    caption:
      "They drew batches in turn, with all steps and guidance: the ratio is the middle one of those of each round. Which blocks " +
      "or channels stay does not matter.",
  };
}
