/** Recovered variants as a table for people, rows of CSV and a chart of bars. */
import { barChart, counted, type Section } from "tinyfusion";
import type { RecoveredResult } from "../pipeline/recovered-trial.ts";
import { type Mean, meanOf, meanText } from "../statistics.ts";
import { type Figure, resultsOf, type StudyReport, type Variant } from "../studies/study.ts";
import type { Find } from "../trials/trial.ts";
import { distanceOf, type RecoveredVariants } from "./differences.ts";

/** One row for each variant: mean ± standard error over seeds. */
export function recoveredSection(
  heading: string,
  variants: RecoveredVariants,
  find: Find,
  strong?: string,
  distance = "FD-digits",
): Section {
  const shown = variants.filter((variant) => resultsOf(variant, find).length > 0);
  const first = shown.flatMap((variant) => resultsOf(variant, find))[0];
  return {
    heading,
    kind: "table",
    columns: [
      "variant",
      "seeds",
      distance,
      "label accuracy %",
      "precision %",
      "recall %",
      "loss when pruned",
      "held-out loss",
      "choosing s",
      "recovery s",
      "GMACs",
      "parameters",
    ],
    rows: shown.map((variant) => rowOf(variant, find)),
    strongRows: shown.flatMap(({ name }, row) => (name === strong ? [row] : [])),
    caption: floorText(first),
  };
}

const floorText = (result: RecoveredResult | undefined): string =>
  result?.scores ? `As many real images score ${result.scores.floor.toFixed(1)}.` : "";

function rowOf(variant: Variant<RecoveredResult>, find: Find): (string | number)[] {
  const results = resultsOf(variant, find);
  const mean = (of: (result: RecoveredResult) => number | undefined): Mean =>
    meanOf(results.flatMap((result) => of(result) ?? []));
  const percent = (key: "labelAccuracy" | "precision" | "recall") =>
    meanText(mean(({ scores }) => scores && 100 * scores[key]));
  return [
    variant.name,
    seedsText(variant, results),
    meanText(mean(({ scores }) => scores?.distance)),
    percent("labelAccuracy"),
    percent("precision"),
    percent("recall"),
    meanText(
      mean(({ losses }) => losses.pruned),
      3,
    ),
    meanText(
      mean(({ losses }) => losses.heldOut),
      4,
    ),
    ...[mean(({ seconds }) => seconds.choose), mean(({ seconds }) => seconds.recover)].map((m) => m.mean.toFixed(0)),
    (mean(({ macs }) => macs).mean / 1e9).toPrecision(3),
    results[0]!.parameters.toLocaleString("en-US"),
  ];
}

/** Trials that are there, of those planned; fewer may have scores. */
function seedsText({ trials }: Variant, results: readonly RecoveredResult[]): string {
  const scored = results.filter(({ scores }) => scores).length;
  return `${results.length}/${trials.length}${scored < results.length ? `, ${scored} with scores` : ""}`;
}

/** FD-digits of all variants that have some, as bars. */
export function recoveredBars(
  name: string,
  title: string,
  variants: RecoveredVariants,
  find: Find,
  marked?: string,
  distance = "FD-digits",
): Figure {
  const bars = variants.flatMap((variant) => {
    const { n, mean, standardError } = distanceOf(variant, find);
    const error = Number.isFinite(standardError) ? { error: standardError } : {};
    const label = `${variant.name} (${counted(n, "seed")})`;
    return n > 0 ? [{ label, value: mean, ...error, isMarked: variant.name === marked }] : [];
  });
  return {
    name,
    svg: barChart({
      title,
      xLabel: `${distance}, lower is better, ± one standard error`,
      bars,
    }),
    caption: "Variants of one seed share the noise of recovery and of sampling; the whiskers are over seeds.",
  };
}

/** One row a trial. */
export function recoveredRows(variants: RecoveredVariants, find: Find): StudyReport["table"] {
  return {
    columns: [
      "arm",
      "seed",
      "blocks",
      "kept",
      "parameters",
      "macs",
      "loss_pruned",
      "loss_held_out",
      "stopped_at",
      "fd_digits",
      "fd_standard_error",
      "fd_real",
      "label_accuracy",
      "precision",
      "recall",
      "seconds_choose",
      "seconds_recover",
      "seconds_sample",
      "seconds_score",
      "seconds_per_image",
    ],
    rows: variants.flatMap((variant) =>
      variant.trials.flatMap((trial) => {
        const found = find(trial);
        if (!found) return [];
        const { blocks, kept, parameters, macs, losses, stoppedAt, scores, seconds, secondsPerImage } = found;
        return [
          [
            variant.name,
            trial.seed,
            blocks,
            kept?.join(" "),
            parameters,
            macs,
            losses.pruned,
            losses.heldOut,
            stoppedAt,
            scores?.distance,
            scores?.distanceError,
            scores?.floor,
            scores?.labelAccuracy,
            scores?.precision,
            scores?.recall,
            seconds.choose,
            seconds.recover,
            seconds.sample,
            seconds.score,
            secondsPerImage,
          ],
        ];
      }),
    ),
  };
}

/** A table of the trials that diverged, in their recovery or in their images; none if there are none. */
export function divergedSections(variants: RecoveredVariants, find: Find): Section[] {
  const rows = variants.flatMap((variant) =>
    variant.trials.flatMap((trial) => {
      const found = find(trial);
      if (!found || (found.scores && found.stoppedAt === undefined)) return [];
      return [[variant.name, trial.seed, found.stoppedAt ?? "–", found.scores ? "yes" : "no"]];
    }),
  );
  if (rows.length === 0) return [];
  return [
    {
      heading: "Diverged trials",
      kind: "table",
      columns: ["variant", "seed", "loss not finite at step", "has scores"],
      rows,
    },
  ];
}
