/** Methods by the loss of their masks right after pruning, and by FD-digits after recovery: whether one foretells the other. */
import { counted, scatterChart } from "tinyfusion";
import type { Find } from "../cells/cell.ts";
import type { Arm, Drawing } from "../definitions/study.ts";
import type { RecoveredResult } from "../pipeline/recovered-cell.ts";
import { type Mean, meanOf, meanText } from "../statistics/mean.ts";
import { rankCorrelation } from "../statistics/rank-correlation.ts";
import { commonSeeds, distanceOf, type RecoveredArms } from "./distances.ts";

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

/** Arms without scores, or whose pruned loss was not finite, are left out. */
export function lossAndDistance(arms: RecoveredArms, find: Find): LossAndDistance {
  const scored = arms.filter((arm) => distanceOf(arm, find).n > 0);
  const seeds = commonSeeds(scored, find);
  const methods = scored.map((arm) => ({
    name: arm.name,
    loss: meanOf(lossesOf("pruned", arm, seeds, find)),
    heldOut: meanOf(lossesOf("heldOut", arm, seeds, find)),
    distance: distanceOf(arm, find, seeds),
  }));
  return { methods: methods.filter(({ loss }) => loss.n === seeds.length && loss.n > 0), seeds: seeds.length };
}

const lossesOf = (
  when: keyof RecoveredResult["losses"],
  { cells }: Arm<RecoveredResult>,
  seeds: readonly number[],
  find: Find,
): number[] => cells.filter(({ seed }) => seeds.includes(seed)).flatMap((cell) => find(cell)?.losses[when] ?? []);

/** A point for each method; those whose name `isFree` says so in another colour. */
export function lossAndDistanceChart({ methods, seeds }: LossAndDistance, isFree: (name: string) => boolean): Drawing {
  const points = (free: boolean) =>
    methods
      .filter(({ name }) => isFree(name) === free)
      .map(({ name, loss, distance }) => ({
        ...{ x: loss.mean, y: distance.mean, error: distance.standardError },
        ...{ label: `${name}: loss ${loss.mean.toFixed(4)}, FD-digits ${meanText(distance)}`, shortLabel: name },
        isMarked: true,
      }));
  return {
    name: "loss-and-distance",
    svg: scatterChart({
      title: "Loss when pruned, FD-digits when recovered",
      ...{
        xLabel: "loss on calibration examples, no recovery",
        yLabel: `FD-digits after recovery, ${counted(seeds, "seed")}`,
      },
      series: [
        { name: "one of every two blocks", points: points(false) },
        { name: "half of the blocks, anywhere", points: points(true) },
      ],
      logX: true,
    }),
    caption: "The methods of table1, means over seeds; whiskers are one standard error of FD-digits.",
  };
}

/** The correlations alone, in a sentence; empty while there is too little to say. */
export const correlationText = ({ methods }: LossAndDistance): string =>
  methods.length < 3
    ? ""
    : `Over ${methods.length} methods the rank correlation of loss when pruned and FD-digits after recovery is ` +
      `${correlationOf(methods, "loss")}${heldOutText(methods)}.`;

function correlationOf(methods: readonly Method[], key: "loss" | "heldOut"): string {
  const of = (which: "loss" | "heldOut" | "distance") => methods.map((method) => method[which].mean);
  return rankCorrelation(of(key), of("distance")).toFixed(2).replace("-", "−");
}

const heldOutText = (methods: readonly Method[]): string =>
  methods.every(({ heldOut }) => heldOut.n > 0)
    ? `, that of held-out loss after recovery and FD-digits ${correlationOf(methods, "heldOut")}`
    : "";

/** How the two go together, and where the method of lowest loss ends up; empty while there is too little to say. */
export function lossAndDistanceText({ methods, seeds }: LossAndDistance): string {
  if (methods.length < 3) return "";
  const by = (key: "loss" | "distance") => methods.toSorted((a, b) => a[key].mean - b[key].mean);
  const [lowest, best] = [by("loss")[0]!, by("distance")[0]!];
  const place = by("distance").indexOf(lowest) + 1;
  const of = `of ${methods.length} methods of table1, over ${counted(seeds, "common seed")}`;
  return (
    `Among the masks ${of}, the rank correlation of loss when pruned and FD-digits after recovery is ` +
    `${correlationOf(methods, "loss")}${heldOutText(methods)}: the lowest loss (${lowest.name}, ${lowest.loss.mean.toFixed(3)}) ` +
    `recovers to ${meanText(lowest.distance)}, place ${place}, and the lowest FD-digits (${best.name}, ${meanText(best.distance)}) ` +
    `began with a loss of ${best.loss.mean.toFixed(3)}.`
  );
}
