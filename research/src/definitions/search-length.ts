/** Study (h): how long a search must be, and how fast its gates may move, until decisions stand still and seeds agree. */
import { counted, lineChart } from "tinyfusion";
import type { Find } from "../cells/cell.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import { GATE_RATE, learnedMask, type MaskResult } from "../pipeline/masks.ts";
import type { RecoveredResult } from "../pipeline/recovered-cell.ts";
import { byMask } from "../pipeline/students.ts";
import { packagedSubject } from "../pipeline/subject.ts";
import { comparedText, comparedWith, missingText } from "../report/compared.ts";
import { commonSeeds } from "../report/distances.ts";
import { recoveredBars, recoveredSection, troubleText } from "../report/recovered-table.ts";
import { agreementOf, lastFlip } from "../statistics/decisions.ts";
import { meanOf, meanText } from "../statistics/mean.ts";
import { ArmMaker } from "./recovered-arms.ts";
import { type Arm, type Drawing, resultsOf, type Study, type StudyOptions } from "./study.ts";
import { table1 } from "./table1.ts";

const FAST = 3e-2;
const rates = [GATE_RATE, 5e-3, FAST] as const;

interface Searches extends Arm<MaskResult> {
  readonly steps: number;
  readonly rate: number;
}

export function searchLength(options: StudyOptions): Study {
  const { budget } = options;
  const spec = packagedSubject("dit", budget);
  const { depth } = spec.model.config;
  const seeds = seedsUpTo(budget.otherSeeds);
  const arms = rates.flatMap((rate) =>
    budget.searchLengths.map(
      (steps): Searches => ({
        ...{ name: `${steps} steps at ${rate}`, steps, rate },
        cells: seeds.map((seed) => learnedMask(spec, seed, budget, { steps, gateRate: rate })),
      }),
    ),
  );
  const slow = { ...table1(options).learned(seeds), name: `gate rate ${GATE_RATE}` };
  const fast = new ArmMaker("search-length", spec, budget).arm(`gate rate ${FAST}`, seeds, (seed) =>
    byMask(learnedMask(spec, seed, budget, { gateRate: FAST })),
  );
  const recovered = [slow, fast];
  return {
    name: "search-length",
    title: "How long a search must be",
    question:
      "Searches of several lengths and gate rates: after which share of its steps does a decision stand still, and do seeds find the " +
      "same mask? And does a mask recover as well that fast gates chose, before the weight update had learned anything?",
    arms: () => [...arms, fast],
    report(find) {
      const begun = arms.filter((arm) => resultsOf(arm, find).length > 0);
      return {
        answer: [answerOf(begun, arms.length, depth, find), recoveredText(slow, fast, find)].filter(Boolean).join(" "),
        drawings: [
          ...drawings(begun, depth, find),
          recoveredBars("distances", "Masks of slow and fast gates, after equal recovery", recovered, find, slow.name),
        ],
        sections: [
          {
            ...{ heading: "Lengths and rates", kind: "table" as const },
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
            rows: begun.map((arm) => rowOf(arm, depth, find)),
            caption:
              "Agreement: share of blocks that two seeds decide alike, mean over pairs of seeds; by luck it would be about 50%.",
          },
          recoveredSection("Masks of slow and fast gates, recovered", recovered, find, slow.name),
        ],
        table: {
          columns: ["steps", "gate_rate", "seed", "kept", "flips", "last_flip_share", "lowest_confidence", "seconds"],
          rows: begun.flatMap((arm) =>
            arm.cells.flatMap((cell) => {
              const mask = find(cell);
              if (!mask) return [];
              const { kept, flips = [], confidence = [], seconds } = mask;
              const last = lastFlip(flips, arm.steps);
              return [
                [arm.steps, arm.rate, cell.seed, kept.join(" "), flips.length, last, Math.min(...confidence), seconds],
              ];
            }),
          ),
        },
      };
    },
  };
}

const agreement = (arm: Searches, depth: number, find: Find): number =>
  agreementOf(
    resultsOf(arm, find).map(({ kept }) => kept),
    depth,
  );

/** The last change with each seed, in % of the run. */
const lastChanges = (arm: Searches, find: Find): number[] =>
  resultsOf(arm, find).map(({ flips = [] }) => 100 * lastFlip(flips, arm.steps));

const settling = (arm: Searches, find: Find) => meanOf(lastChanges(arm, find));

const latest = (arm: Searches, find: Find): number => Math.max(...lastChanges(arm, find));

function rowOf(arm: Searches, depth: number, find: Find): (string | number)[] {
  const results = resultsOf(arm, find);
  const agree = agreement(arm, depth, find);
  return [
    ...[arm.steps, arm.rate, results.length],
    ...[meanText(meanOf(results.map(({ flips = [] }) => flips.length))), meanText(settling(arm, find), 0)],
    latest(arm, find).toFixed(0),
    Number.isFinite(agree) ? (100 * agree).toFixed(0) : "–",
    meanOf(results.map(({ seconds }) => seconds)).mean.toFixed(0),
  ];
}

function drawings(arms: readonly Searches[], depth: number, find: Find): Drawing[] {
  const chart = (name: string, title: string, yLabel: string, of: (arm: Searches) => number): Drawing => ({
    name,
    svg: lineChart({
      ...{ title, yLabel, xLabel: "steps of the search" },
      series: rates.map((rate) => ({
        name: `gate rate ${rate}`,
        points: arms.filter((arm) => arm.rate === rate).map((arm) => [arm.steps, of(arm)] as const),
      })),
    }),
    caption: "Means over seeds.",
  });
  return [
    chart("settling", "When decisions stop changing", "last change, % of the run", (arm) => settling(arm, find).mean),
    chart("agreement", "Do seeds agree?", "blocks decided alike, %", (arm) => 100 * agreement(arm, depth, find)),
  ];
}

/** Nothing before the mask of fast gates has a cell. */
function recoveredText(slow: Arm<RecoveredResult>, fast: Arm<RecoveredResult>, find: Find): string {
  const compared = comparedWith(slow, [fast], find);
  if (compared.others.length === 0 || compared.mean.n === 0) return "";
  const found = isSameMask(slow, fast, find)
    ? `Slow and fast gates keep the same blocks with each of ${counted(compared.mean.n, "seed")}: FD-digits after recovery is ` +
      `${meanText(compared.mean)} for both.`
    : `After recovery ${comparedText(compared)}`;
  return [missingText([slow, fast], find), found, troubleText([slow, fast], find)].filter(Boolean).join(" ");
}

/** Whether seed by seed both recovered the same blocks. */
function isSameMask(slow: Arm<RecoveredResult>, fast: Arm<RecoveredResult>, find: Find): boolean {
  return commonSeeds([slow, fast], find).every((seed) => {
    const [a, b] = [slow, fast].map(({ cells }) => find(cells.find((cell) => cell.seed === seed)!)?.kept);
    return a !== undefined && String(a) === String(b);
  });
}

/** A search has settled if it stood still for the last third. */
const SETTLED = 67;
const AGREED = 0.9;

function answerOf(begun: readonly Searches[], of: number, depth: number, find: Find): string {
  if (begun.length === 0) return "No search is there yet.";
  const whole = begun.filter((arm) => resultsOf(arm, find).length === arm.cells.length);
  const share = whole.length < of ? ` (${whole.length} of ${of} settings have all their seeds)` : "";
  if (whole.length === 0) return "No setting has all its seeds yet.";
  const agreed = (arm: Searches) => agreement(arm, depth, find);
  const good = whole.filter((arm) => latest(arm, find) <= SETTLED && agreed(arm) >= AGREED);
  const shortest = [...good].sort((a, b) => a.steps - b.steps || agreed(b) - agreed(a))[0];
  if (!shortest) {
    return `No setting both stands still for the last third of its run with every seed and makes seeds agree on 90% of the blocks${share}.`;
  }
  return (
    `The shortest search that stands still for the last third of its run with every seed, and whose seeds agree on at least 90% ` +
    `of the blocks, has ${shortest.steps} steps at a gate rate of ${shortest.rate}: seeds agree on ` +
    `${(100 * agreed(shortest)).toFixed(0)}%${share}.${whole.length < of ? "" : oneMaskText(whole, find)}`
  );
}

/** From how many steps on every search, at each rate and with each seed, keeps the same blocks; empty if none does. */
function oneMaskText(whole: readonly Searches[], find: Find): string {
  const lengths = [...new Set(whole.map(({ steps }) => steps))].sort((a, b) => a - b);
  const from = lengths.find((length) => {
    const longer = whole.filter(({ steps }) => steps >= length);
    return new Set(longer.flatMap((arm) => resultsOf(arm, find).map(({ kept }) => String(kept)))).size === 1;
  });
  if (from === undefined) return "";
  const searches = whole.filter(({ steps }) => steps >= from).flatMap((arm) => resultsOf(arm, find));
  return ` The ${searches.length} searches of ${from} steps or more, of every rate and seed, keep the same blocks.`;
}
