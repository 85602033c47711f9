/** Study (e): how learned searches decide, step by step, and whether seeds agree. */
import { decisionChart } from "tinyfusion";
import { packagedSubject } from "../pipeline/benchmark.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import { learnedMask, type MaskCell, type MaskResult } from "../pipeline/masks.ts";
import { agreementOf, lastFlip } from "../statistics.ts";
import type { Find } from "../trials/trial.ts";
import type { Drawing, Study, StudyOptions } from "./study.ts";

/** Searches that are drawn. */
const DRAWN = 2;

export function decisions({ budget }: StudyOptions): Study {
  const spec = packagedSubject("dit", budget);
  const { depth } = spec.model.config;
  const cells = seedsUpTo(budget.primarySeeds).map((seed) => learnedMask(spec, seed, budget));
  const found = (find: Find) => cells.flatMap((cell) => pairOf(cell, find));
  return {
    name: "decisions",
    title: "Decisions over time",
    question:
      "How does a mask search decide: which blocks first, how often does it change its mind, and do seeds agree?",
    arms: () => [{ name: "learned", cells }],
    report(find) {
      const all = found(find);
      return {
        drawings: all.slice(0, DRAWN).map(({ seed, mask }) => drawing(seed, mask, depth)),
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

function pairOf(cell: MaskCell, find: Find): Seeded[] {
  const mask = find(cell);
  return mask ? [{ seed: cell.seed, mask }] : [];
}

function drawing(seed: number, { history = [] }: MaskResult, depth: number): Drawing {
  return {
    name: `decisions-s${seed}`,
    svg: decisionChart({
      title: `A search decides, seed ${seed}`,
      groupSizes: Array.from({ length: depth / 2 }, () => 2),
      steps: history,
    }),
    caption: "Darker: the block is surer to stay. The line is the decision at that time, from averaged gates.",
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
