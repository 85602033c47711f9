/** The primary comparisons in words and as a table: by how much, and with what certainty. */
import type { Section } from "../../evaluation/report/page.ts";
import { meanText } from "../statistics/mean.ts";
import type { PrimaryComparison } from "../statistics/paired.ts";
import { counted } from "./words.ts";

/** Below it a comparison counts as decided; fixed before running. */
export const LEVEL = 0.05;

/** Whether the learned mask wins, for each rival by how much, and what follows where it does not. */
export function primaryAnswer(comparisons: readonly PrimaryComparison[]): string {
  const parts = comparisons.map(sentence);
  const decided = comparisons.filter(({ corrected }) => corrected !== undefined && corrected < LEVEL);
  const complete = comparisons.every(({ corrected }) => corrected !== undefined);
  const overall = !complete
    ? "Does the learned mask beat every rival after equal recovery? Not all cells of this comparison are there."
    : decided.length === comparisons.length
      ? "Does the learned mask beat every rival after equal recovery? Yes, all three primary comparisons say so."
      : decided.length === 0
        ? "Does the learned mask beat every rival after equal recovery? That is not shown here."
        : `Does the learned mask beat every rival after equal recovery? Only ${decided.map(({ rival }) => rival).join(" and ")}, with certainty.`;
  const doubt = complete && decided.length < comparisons.length ? ` ${hypothesis(comparisons)}` : "";
  return `${overall} ${parts.join(" ")}${doubt}`;
}

function sentence({ rival, test, corrected }: PrimaryComparison): string {
  if (!test) return `Against ${rival} nothing can be said yet.`;
  const way = test.mean > 0 ? "lower" : "higher";
  const size = Math.abs(test.mean).toFixed(1);
  const error = Number.isFinite(test.standardError) ? ` ± ${test.standardError.toFixed(1)}` : "";
  const p = corrected === undefined ? "" : `, corrected p = ${pText(corrected)}`;
  return `Against ${rival} its FD-digits is ${size}${error} ${way} (${counted(test.n, "paired seed")}${p}).`;
}

/** p-values as people read them. */
const pText = (p: number): string => (p < 0.0095 ? p.toFixed(4) : p.toFixed(3));

function hypothesis(comparisons: readonly PrimaryComparison[]): string {
  const reversed = comparisons.filter(({ test }) => test && test.mean <= 0).map(({ rival }) => rival);
  const what =
    reversed.length > 0
      ? `The paper's order does not reproduce against ${reversed.join(" and ")}.`
      : "The order is the paper's, the certainty is not.";
  return (
    `${what} A hypothesis: neighbouring blocks of this deep and narrow teacher are nearly equal, so that recovery evens ` +
    "out which of two stays; the same comparison with a tenth of the recovery, or at a quarter of the depth, would show " +
    "larger differences if that is so."
  );
}

/** All numbers of the tests. */
export function primarySection(comparisons: readonly PrimaryComparison[]): Section {
  const cell = (p: number | undefined) => (p === undefined ? "–" : pText(p));
  return {
    heading: "Primary comparisons",
    kind: "table",
    columns: ["learned against", "paired seeds", "rival − learned", "p one-sided", "p two-sided", "p after Holm"],
    rows: comparisons.map(({ rival, test, isComplete, corrected }) => [
      rival,
      test?.n ?? 0,
      test ? meanText(test) : "–",
      cell(isComplete ? test?.oneSided : undefined),
      cell(isComplete ? test?.twoSided : undefined),
      cell(corrected),
    ]),
    strongRows: comparisons.flatMap(({ corrected }, row) =>
      corrected !== undefined && corrected < LEVEL ? [row] : [],
    ),
    caption:
      "Exact sign-flip tests of FD-digits, paired by seed. The hypothesis, fixed before running, is that the rival's is " +
      `higher; Holm's correction is over these three one-sided tests, bold is below ${LEVEL}. The best method by score is the ` +
      "one of lowest mean over the common seeds, chosen before its further seeds are run; those common seeds count in its " +
      "test, which favours it. No p-value is shown before all planned seeds are there. All else in these studies is mean ± standard error, without p-values.",
  };
}
