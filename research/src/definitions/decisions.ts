/** Study (e): how learned searches decide, step by step, and whether seeds agree. */
import { counted, decisionChart } from "tinyfusion";
import type { Find } from "../cells/cell.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import { learnedMask, type MaskCell, type MaskResult } from "../pipeline/masks.ts";
import { packagedSubject } from "../pipeline/subject.ts";
import { agreementOf, lastFlip } from "../statistics/decisions.ts";
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
      const masks = all.map(({ mask }) => mask.kept);
      const last = all.map(({ mask }) => lastFlip(mask.flips ?? [], budget.searchSteps));
      return {
        answer:
          all.length === 0
            ? "No search is there yet."
            : `${counted(all.length, "search")} of ${budget.searchSteps} steps: the last change of the decision came after ` +
              `${percents(last)} of the run; ${agreementText(masks, depth)}`,
        drawings: all.slice(0, DRAWN).map(({ seed, mask }) => drawing(seed, mask, depth)),
        sections: [table(all, budget.searchSteps)],
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

function percents(shares: readonly number[]): string {
  const [low, high] = [Math.min(...shares), Math.max(...shares)].map((share) => (100 * share).toFixed(0));
  return low === high ? `${low}%` : `${low} to ${high}%`;
}

function agreementText(masks: readonly (readonly number[])[], depth: number): string {
  if (masks.length < 2) return "with one seed nothing can be said of agreement.";
  const share = agreementOf(masks, depth);
  const distinct = new Set(masks.map(String)).size;
  if (distinct === 1) return "all of them kept the same blocks.";
  return `two of them agree on ${(100 * share).toFixed(0)}% of the blocks on average (${distinct} different masks).`;
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
  ...{ heading: "Searches", kind: "table" as const },
  columns: ["seed", "changes", "last change after", "lowest confidence", "s", "kept blocks"],
  rows: all.map(({ seed, mask: { flips = [], confidence = [], seconds, kept } }) => [
    ...[seed, flips.length, `${(100 * lastFlip(flips, steps)).toFixed(0)}%`],
    ...[Math.min(...confidence).toFixed(2), seconds.toFixed(0), kept.join(" ")],
  ]),
  caption: `Searches of ${steps} steps. Confidence: the probability of the kept pattern in the least sure group.`,
});
