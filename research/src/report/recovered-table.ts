/** Recovered arms as a table for people, rows of CSV and a chart of bars. */
import { barChart, counted, type Section } from "tinyfusion";
import type { RecoveredResult } from "../pipeline/recovered-trial.ts";
import { type Mean, meanOf, meanText } from "../statistics.ts";
import { type Arm, type Drawing, resultsOf, type StudyReport } from "../studies/study.ts";
import type { Find } from "../trials/trial.ts";
import { distanceOf, type RecoveredArms } from "./differences.ts";

/** One row an arm: mean ± standard error over seeds. */
export function recoveredSection(heading: string, arms: RecoveredArms, find: Find, strong?: string): Section {
  const shown = arms.filter((arm) => resultsOf(arm, find).length > 0);
  const first = shown.flatMap((arm) => resultsOf(arm, find))[0];
  return {
    heading,
    kind: "table",
    columns: [
      "variant",
      "seeds",
      "FD-digits",
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
    rows: shown.map((arm) => rowOf(arm, find)),
    strongRows: shown.flatMap(({ name }, row) => (name === strong ? [row] : [])),
    caption: floorText(first),
  };
}

const floorText = (result: RecoveredResult | undefined): string =>
  result?.scores ? `As many real images score ${result.scores.floor.toFixed(1)}.` : "";

function rowOf(arm: Arm<RecoveredResult>, find: Find): (string | number)[] {
  const results = resultsOf(arm, find);
  const mean = (of: (result: RecoveredResult) => number | undefined): Mean =>
    meanOf(results.flatMap((result) => of(result) ?? []));
  const percent = (key: "labelAccuracy" | "precision" | "recall") =>
    meanText(mean(({ scores }) => scores && 100 * scores[key]));
  return [
    arm.name,
    seedsText(arm, results),
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

/** Cells that are there, of those planned; fewer may have scores. */
function seedsText({ cells }: Arm, results: readonly RecoveredResult[]): string {
  const scored = results.filter(({ scores }) => scores).length;
  return `${results.length}/${cells.length}${scored < results.length ? `, ${scored} with scores` : ""}`;
}

/** FD-digits of all arms that have some, as bars. */
export function recoveredBars(name: string, title: string, arms: RecoveredArms, find: Find, marked?: string): Drawing {
  const bars = arms.flatMap((arm) => {
    const { n, mean, standardError } = distanceOf(arm, find);
    const error = Number.isFinite(standardError) ? { error: standardError } : {};
    const label = `${arm.name} (${counted(n, "seed")})`;
    return n > 0 ? [{ label, value: mean, ...error, isMarked: arm.name === marked }] : [];
  });
  return {
    name,
    svg: barChart({
      title,
      xLabel: "FD-digits, lower is better, ± one standard error",
      bars,
    }),
    caption: "Arms of one seed share the noise of recovery and of sampling; the whiskers are over seeds.",
  };
}

/** One row a cell. */
export function recoveredRows(arms: RecoveredArms, find: Find): StudyReport["table"] {
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
    rows: arms.flatMap((arm) =>
      arm.cells.flatMap((cell) => {
        const found = find(cell);
        if (!found) return [];
        const { blocks, kept, parameters, macs, losses, stoppedAt, scores, seconds, secondsPerImage } = found;
        return [
          [
            arm.name,
            cell.seed,
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

/** Trials that diverged, as a table; none if there are none: their recovery broke off, or their images are no numbers. */
export function divergedSections(arms: RecoveredArms, find: Find): Section[] {
  const rows = arms.flatMap((arm) =>
    arm.cells.flatMap((cell) => {
      const found = find(cell);
      if (!found || (found.scores && found.stoppedAt === undefined)) return [];
      return [[arm.name, cell.seed, found.stoppedAt ?? "–", found.scores ? "yes" : "no"]];
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
