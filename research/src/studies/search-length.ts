/** Study (h): how long a search must be, and how fast its gates may move, until decisions stand still and seeds agree. */
import { lineChart, type Section } from "tinyfusion";
import { packagedSubject } from "../pipeline/benchmark.ts";
import { seedsUpTo } from "../pipeline/budget.ts";
import { GATE_RATE, learnedMask, type MaskResult } from "../pipeline/masks.ts";
import { byMask } from "../pipeline/students.ts";
import { differencesSection } from "../report/differences.ts";
import { divergedSections, recoveredBars, recoveredSection } from "../report/recovered-table.ts";
import { agreementOf, lastFlip, meanOf, meanText } from "../statistics.ts";
import type { Find } from "../trials/trial.ts";
import { type Arm, type Drawing, resultsOf, type Study, type StudyOptions, type StudyReport } from "./study.ts";
import { table1 } from "./table1.ts";
import { ArmMaker } from "./variants.ts";

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
        name: `${steps} steps at ${rate}`,
        steps,
        rate,
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
        drawings: [
          ...drawings(begun, depth, find),
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
            rows: begun.map((arm) => rowOf(arm, depth, find)),
            caption:
              "Agreement: share of blocks that two seeds decide alike, mean over pairs of seeds; by luck it would be about 50%.",
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
    arm.steps,
    arm.rate,
    results.length,
    meanText(meanOf(results.map(({ flips = [] }) => flips.length))),
    meanText(settling(arm, find), 0),
    latest(arm, find).toFixed(0),
    Number.isFinite(agree) ? (100 * agree).toFixed(0) : "–",
    meanOf(results.map(({ seconds }) => seconds)).mean.toFixed(0),
  ];
}

function drawings(arms: readonly Searches[], depth: number, find: Find): Drawing[] {
  const chart = (name: string, title: string, yLabel: string, of: (arm: Searches) => number): Drawing => ({
    name,
    svg: lineChart({
      title,
      yLabel,
      xLabel: "steps of the search",
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

/** One row a search. */
function rowsOf(arms: readonly Searches[], find: Find): StudyReport["table"] {
  return {
    columns: ["steps", "gate_rate", "seed", "kept", "flips", "last_flip_share", "lowest_confidence", "seconds"],
    rows: arms.flatMap((arm) =>
      arm.cells.flatMap((cell) => {
        const mask = find(cell);
        if (!mask) return [];
        const { kept, flips = [], confidence = [], seconds } = mask;
        const last = lastFlip(flips, arm.steps);
        return [[arm.steps, arm.rate, cell.seed, kept.join(" "), flips.length, last, Math.min(...confidence), seconds]];
      }),
    ),
  };
}

/** How many masks the searches of at least so many steps found, of every rate and seed. */
function sameMaskSection(arms: readonly Searches[], find: Find): Section {
  const lengths = [...new Set(arms.map(({ steps }) => steps))];
  return {
    heading: "Masks of longer searches",
    kind: "table",
    columns: ["searches of at least so many steps", "searches", "different masks"],
    rows: lengths.map((length) => {
      const masks = arms.filter(({ steps }) => steps >= length).flatMap((arm) => resultsOf(arm, find));
      return [length, masks.length, new Set(masks.map(({ kept }) => String(kept))).size];
    }),
    caption: "Of all gate rates and seeds.",
  };
}
