/** Study (e): how learned searches decide, step by step, and whether seeds agree. */
import { decisionChart } from "tinyfusion";
import { packagedBenchmark } from "../pipeline/benchmark.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import { learnedMask, type MaskResult, type MaskTrial } from "../pipeline/masks.ts";
import { agreementOf, lastFlip } from "../statistics.ts";
import type { Find } from "../trials/trial.ts";
import type { Figure, Study, StudyOptions } from "./study.ts";

/** Searches that are shown as figures. */
const SHOWN = 2;

export function decisions({ budget }: StudyOptions): Study {
  const benchmark = packagedBenchmark("dit", budget);
  const { depth } = benchmark.model.config;
  const trials = seedsUpTo(budget.primarySeeds).map((seed) => learnedMask(benchmark, seed, budget));
  const found = (find: Find) => trials.flatMap((trial) => pairOf(trial, find));
  return {
    name: "decisions",
    title: "Decisions over time",
    question:
      "How does a mask search decide: which blocks first, how often does its decision change, and do seeds agree?",
    variants: () => [{ name: "learned", trials }],
    report(find) {
      const all = found(find);
      return {
        figures: all.slice(0, SHOWN).map(({ seed, mask }) => figure(seed, mask, depth)),
        sections: [table(all, budget.searchSteps), agreement(all, depth)],
        table: {
          columns: ["seed", "kept", "flips", "last_flip", "steps", "lowest_confidence", "seconds"],
          rows: all.map(({ seed, mask }) => {
            const flips = mask.flips ?? [];
            const sure = Math.min(...(mask.confidence ?? []));
            return [seed, mask.kept.join(" "), flips.length, flips.at(-1) ?? 0, budget.searchSteps, sure, mask.seconds];
          }),
        },
      };
    },
  };
}

interface Seeded {
  readonly seed: number;
  readonly mask: MaskResult;
}

function pairOf(trial: MaskTrial, find: Find): Seeded[] {
  const mask = find(trial);
  return mask ? [{ seed: trial.seed, mask }] : [];
}

function figure(seed: number, { history = [] }: MaskResult, depth: number): Figure {
  return {
    name: `decisions-s${seed}`,
    svg: decisionChart({
      title: `A search decides, seed ${seed}`,
      groupSizes: Array.from({ length: depth / 2 }, () => 2),
      steps: history,
    }),
    caption: "Darker: the block is more likely to stay. The line is the decision at that time, from averaged gates.",
  };
}

const table = (all: readonly Seeded[], steps: number) => ({
  heading: "Searches",
  kind: "table" as const,
  columns: ["seed", "changes", "last change after", "lowest confidence", "s", "kept blocks"],
  rows: all.map(({ seed, mask: { flips = [], confidence = [], seconds, kept } }) => [
    seed,
    flips.length,
    `${(100 * lastFlip(flips, steps)).toFixed(0)}%`,
    Math.min(...confidence).toFixed(2),
    seconds.toFixed(0),
    kept.join(" "),
  ]),
  caption: `Searches of ${steps} steps. Confidence: the probability of the kept pattern in the least sure group.`,
});

const agreement = (all: readonly Seeded[], depth: number) => {
  const masks = all.map(({ mask }) => mask.kept);
  const share = agreementOf(masks, depth);
  return {
    heading: "Agreement of seeds",
    kind: "table" as const,
    columns: ["searches", "different masks", "blocks that two decide alike, %"],
    rows: [[masks.length, new Set(masks.map(String)).size, masks.length < 2 ? "–" : (100 * share).toFixed(0)]],
  };
};
