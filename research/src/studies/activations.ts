/** Study (f): activations of teacher and student, with the extreme ones that masked distillation leaves out. */

import { histogramChart } from "tinyfusion";
import {
  type ActivationsResult,
  activationsTrial,
  BINS,
  type BlockActivations,
  EXTREME,
  REACH,
} from "../pipeline/activations.ts";
import { packagedBenchmark } from "../pipeline/benchmark.ts";
import { learnedMask } from "../pipeline/masks.ts";
import type { Figure, Study, StudyOptions } from "./study.ts";

const NAME = "activations";

export function activations({ budget }: StudyOptions): Study {
  const benchmark = packagedBenchmark("dit", budget);
  const trial = activationsTrial(NAME, benchmark, learnedMask(benchmark, 0, budget), budget);
  return {
    name: NAME,
    title: "Extreme activations",
    question:
      "How are the outputs of blocks distributed in the teacher and in the recovered student, and how much of them lies beyond two " +
      "standard deviations, where masked distillation does not look?",
    variants: () => [{ name: "activations", trials: [trial] }],
    report(find) {
      const found = find(trial);
      if (!found) return { figures: [], sections: [], table: { columns: [], rows: [] } };
      return {
        figures: figures(found),
        sections: [table(found), means(found)],
        table: {
          columns: ["model", "block", "extreme_share", "extreme_energy", "largest_sigma"],
          rows: (["teacher", "student"] as const).flatMap((model) =>
            found[model].map(({ block, extremeShare, extremeEnergy, largest }) => [
              model,
              block,
              extremeShare,
              extremeEnergy,
              largest,
            ]),
          ),
        },
      };
    },
  };
}

const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;

const meanShare = (blocks: readonly BlockActivations[], key: "extremeShare" | "extremeEnergy"): number =>
  blocks.reduce((sum, block) => sum + block[key], 0) / blocks.length;

const largestOf = (blocks: readonly BlockActivations[]): number => Math.max(...blocks.map(({ largest }) => largest));

/** The first, the middle and the last pair of blocks that distillation compares. */
function figures({ pairs, teacher, student }: ActivationsResult): Figure[] {
  const places = [...new Set([0, Math.floor((pairs.length - 1) / 2), pairs.length - 1])];
  const edges = Array.from({ length: BINS + 1 }, (_, i) => -REACH + (2 * REACH * i) / BINS);
  return places.map((place) => {
    const [own, matched] = pairs[place]!;
    return {
      name: `activations-block-${matched}`,
      svg: histogramChart({
        title: `Outputs of the teacher's block ${matched} and the student's block ${own}`,
        xLabel: "standard deviations from the sample's mean",
        yLabel: "activations",
        edges,
        logY: true,
        series: [
          { name: "teacher", counts: teacher[place]!.counts },
          { name: "recovered student", counts: student[place]!.counts },
        ],
        marks: [
          { x: -EXTREME, label: `−${EXTREME}σ` },
          { x: EXTREME, label: `${EXTREME}σ` },
        ],
      }),
      caption: `Outside the dotted lines masked distillation leaves values out. Values beyond ${REACH}σ count in the outer bins.`,
    };
  });
}

const table = ({ pairs, teacher, student }: ActivationsResult) => ({
  heading: "Blocks that are compared",
  kind: "table" as const,
  columns: [
    "teacher's block",
    "beyond 2σ",
    "of variance",
    "farthest, σ",
    "student's block",
    "beyond 2σ",
    "of variance",
    "farthest, σ",
  ],
  rows: pairs.map((_, i) => [...cellsOf(teacher[i]!), ...cellsOf(student[i]!)]),
});

const cellsOf = ({ block, extremeShare, extremeEnergy, largest }: BlockActivations) => [
  block,
  percent(extremeShare),
  percent(extremeEnergy),
  largest.toFixed(1),
];

const means = ({ teacher, student }: ActivationsResult) => ({
  heading: "Over all compared blocks",
  kind: "table" as const,
  columns: ["model", "beyond 2σ", "of variance", "farthest, σ"],
  rows: [
    ["teacher", ...meansOf(teacher)],
    ["student", ...meansOf(student)],
    ["a normal distribution", "4.6%", "26%", "–"],
  ],
});

const meansOf = (blocks: readonly BlockActivations[]) => [
  percent(meanShare(blocks, "extremeShare")),
  percent(meanShare(blocks, "extremeEnergy")),
  largestOf(blocks).toFixed(1),
];
