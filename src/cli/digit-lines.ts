/** A digit evaluation as lines of text. */
import type { DigitReport } from "../evaluation/digits.ts";

const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;

/** What `sample --evaluate` prints; every line names what its numbers depend on. */
export function digitLines(report: DigitReport, { steps, cfgScale }: { steps: string; cfgScale: number }): string[] {
  const { n, fdDigits, floor, precision, recall, perClass } = report;
  const number = (x: number) => x.toFixed(2);
  const column = (values: readonly number[]) => values.map((value) => String(value).padStart(5)).join("");
  return [
    `FD-digits ${number(fdDigits.estimate)} ± ${number(fdDigits.standardError)}  (n ${n}, steps ${steps}, cfg ${cfgScale}; ` +
      `real digits at n ${floor.n}: ${number(floor.mean)} ± ${number(floor.standardDeviation)} over ${floor.draws} draws)`,
    `label accuracy ${percent(report.labelAccuracy)}`,
    `precision ${percent(precision)}  recall ${percent(recall)}  ` +
      `(k ${report.neighbours}, against ${report.manifoldSize} training digits)`,
    `class     ${column(perClass.map((count) => count.class))}`,
    `wanted    ${column(perClass.map((count) => count.wanted))}`,
    `predicted ${column(perClass.map((count) => count.predicted))}`,
    `correct   ${column(perClass.map((count) => count.correct))}`,
  ];
}
