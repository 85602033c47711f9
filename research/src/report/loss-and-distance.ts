/** Methods by the loss of their masks right after pruning, and by FD-digits after recovery: whether one predicts the other. */
import { counted, type Section, scatterChart } from "tinyfusion";
import type { RecoveredResult } from "../pipeline/recovered-trial.ts";
import { type Mean, meanOf, meanText, rankCorrelation } from "../statistics.ts";
import type { Figure, Variant } from "../studies/study.ts";
import type { Find } from "../trials/trial.ts";
import { commonSeeds, distanceOf, type RecoveredVariants } from "./differences.ts";

interface Method {
  readonly name: string;
  /** Right after pruning. */
  readonly loss: Mean;
  /** On held-out examples, after recovery. */
  readonly heldOut: Mean;
  readonly distance: Mean;
}

/** Methods with scores, over the seeds that all of them have. */
export interface LossAndDistance {
  readonly methods: readonly Method[];
  readonly seeds: number;
}

/** Variants without scores, or whose pruned loss was not finite, are left out. */
export function lossAndDistance(variants: RecoveredVariants, find: Find): LossAndDistance {
  const scored = variants.filter((variant) => distanceOf(variant, find).n > 0);
  const seeds = commonSeeds(scored, find);
  const methods = scored.map((variant) => ({
    name: variant.name,
    loss: meanOf(lossesOf("pruned", variant, seeds, find)),
    heldOut: meanOf(lossesOf("heldOut", variant, seeds, find)),
    distance: distanceOf(variant, find, seeds),
  }));
  return { methods: methods.filter(({ loss }) => loss.n === seeds.length && loss.n > 0), seeds: seeds.length };
}

const lossesOf = (
  when: keyof RecoveredResult["losses"],
  { trials }: Variant<RecoveredResult>,
  seeds: readonly number[],
  find: Find,
): number[] => trials.filter(({ seed }) => seeds.includes(seed)).flatMap((trial) => find(trial)?.losses[when] ?? []);

/** A point for each method; those whose name `isFree` says so in another colour. */
export function lossAndDistanceChart({ methods, seeds }: LossAndDistance, isFree: (name: string) => boolean): Figure {
  const points = (free: boolean) =>
    methods
      .filter(({ name }) => isFree(name) === free)
      .map(({ name, loss, distance }) => ({
        x: loss.mean,
        y: distance.mean,
        error: distance.standardError,
        label: `${name}: loss ${loss.mean.toFixed(4)}, FD-digits ${meanText(distance)}`,
        shortLabel: name,
        isMarked: true,
      }));
  return {
    name: "loss-and-distance",
    svg: scatterChart({
      title: "Loss when pruned, FD-digits when recovered",
      xLabel: "loss on calibration examples, no recovery",
      yLabel: `FD-digits after recovery, ${counted(seeds, "seed")}`,
      series: [
        { name: "one of every two blocks", points: points(false) },
        { name: "half of the blocks, anywhere", points: points(true) },
      ],
      logX: true,
    }),
    caption: "The methods of table1, means over seeds; whiskers are one standard error of FD-digits.",
  };
}

/** The methods from lowest to highest FD-digits, and how both losses rank them; the second table wants three methods. */
export function lossAndDistanceSections({ methods, seeds }: LossAndDistance): Section[] {
  const sorted = methods.toSorted((a, b) => a.distance.mean - b.distance.mean);
  const distances = methods.map(({ distance }) => distance.mean);
  const losses = (key: "loss" | "heldOut") => methods.map((method) => method[key].mean);
  const row = (name: string, values: readonly number[]) => [
    name,
    methods.length,
    seeds,
    rankCorrelation(values, distances).toFixed(2).replace("-", "−"),
  ];
  return [
    {
      heading: "Losses and FD-digits of the methods of table1",
      kind: "table",
      columns: ["method", "FD-digits", "loss when pruned", "held-out loss"],
      rows: sorted.map(({ name, distance, loss, heldOut }) => [
        name,
        meanText(distance),
        meanText(loss, 3),
        meanText(heldOut, 4),
      ]),
      caption: `Means over the ${counted(seeds, "seed")} that all have, from best to worst.`,
    },
    {
      heading: "Rank correlation with FD-digits after recovery",
      kind: "table",
      columns: ["of", "methods", "common seeds", "Spearman's rank correlation"],
      rows:
        methods.length < 3 ? [] : [row("loss when pruned", losses("loss")), row("held-out loss", losses("heldOut"))],
    },
  ];
}
