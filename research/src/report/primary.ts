/** The primary comparisons in words and as a table: by how much, and with what certainty. */
import { counted, listed, type Section } from "tinyfusion";
import { meanText } from "../statistics/mean.ts";
import { type Compared, differenceText, isClear } from "./compared.ts";
import type { PrimaryComparison } from "./primary-comparisons.ts";

/** Below it a comparison counts as decided; fixed before running. */
export const LEVEL = 0.05;

/** Whether the learned mask wins, for each rival by how much, and what follows where it does not. */
export function primaryAnswer(comparisons: readonly PrimaryComparison[], others: readonly Compared[]): string {
  const parts = [
    "Does the learned mask beat the three rivals tested, after equal recovery?",
    verdict(comparisons),
    ...comparisons.map(sentence),
    othersText(others),
    ...hypotheses(comparisons),
  ];
  return parts.filter(Boolean).join(" ");
}

/** The same in few lines. */
export function primaryHeadline(comparisons: readonly PrimaryComparison[]): string {
  const question = "Does the learned mask beat every rival after equal recovery?";
  if (comparisons.some(({ lacks }) => lacks !== undefined)) return `${question} That is open: cells are missing.`;
  const texts = (some: readonly PrimaryComparison[]) =>
    listed(
      some.map(
        ({ rival, test, corrected }) => `${rival} (FD-digits ${differenceText(test!)}, p = ${pText(corrected!)})`,
      ),
    );
  const [won, open] = [comparisons.filter(isDecided), comparisons.filter((one) => !isDecided(one))];
  if (open.length === 0) return `${question} Yes: it beats ${texts(won)}.`;
  return `${question} ${won.length > 0 ? `It beats ${texts(won)}, but that is not` : "That is not"} shown against ${texts(open)}.`;
}

const isDecided = ({ corrected }: PrimaryComparison): boolean => corrected !== undefined && corrected < LEVEL;

const namesOf = (comparisons: readonly PrimaryComparison[]): string => listed(comparisons.map(({ rival }) => rival));

function verdict(comparisons: readonly PrimaryComparison[]): string {
  const lacking = comparisons.filter(({ lacks }) => lacks !== undefined);
  if (lacking.length > 0) {
    return `That is open: ${lacking.map(({ rival, lacks }) => `${rival} (${lacks})`).join(", ")}.`;
  }
  const decided = comparisons.filter(isDecided);
  if (decided.length === comparisons.length) return "Yes, all three primary comparisons say so.";
  return decided.length === 0 ? "That is not shown here." : `Only ${namesOf(decided)}, with certainty.`;
}

function sentence({ rival, test, corrected }: PrimaryComparison): string {
  if (!test) return "";
  const p = corrected === undefined ? "" : `, corrected p = ${pText(corrected)}`;
  return `Against ${rival} its FD-digits is ${differenceText(test)} (${counted(test.n, "paired seed")}${p}).`;
}

/** p-values as people read them. */
const pText = (p: number): string => (p < 0.0095 ? p.toFixed(4) : p.toFixed(3));

/** Arms that no test was planned for, each alone against the learned mask: those that look better are named. */
function othersText(others: readonly Compared[]): string {
  const paired = others.filter((one) => one.others.length > 0 && one.mean.n > 0);
  if (paired.length === 0) return "";
  const lower = paired.flatMap(({ own, others: [learned] }) =>
    learned!.difference.mean > 0
      ? [`${own.name}, ${differenceText(learned!.difference)} (${counted(learned!.difference.n, "common seed")})`]
      : [],
  );
  const which = lower.length === 0 ? "none has" : `${lower.length} ${lower.length === 1 ? "has" : "have"}`;
  const names = lower.length === 0 ? "" : `: ${lower.join("; ")}`;
  return `Of ${counted(paired.length, "other arm")}, which are not tested, ${which} a lower mean over the seeds that both have${names}.`;
}

/** What may be behind each kind of outcome that is not the paper's; none before all pairs are there. */
function hypotheses(comparisons: readonly PrimaryComparison[]): string[] {
  if (comparisons.some(({ corrected }) => corrected === undefined)) return [];
  const undecided = comparisons.filter((one) => !isDecided(one));
  const reversed = undecided.filter(({ test }) => test!.mean < 0 && (isClear(test!) || test!.twoSided < LEVEL));
  const uncertain = undecided.filter(({ test }) => test!.mean > 0 && isClear(test!));
  const alike = undecided.filter((one) => !reversed.includes(one) && !uncertain.includes(one));
  return [
    ...(uncertain.length === 0
      ? []
      : [`Against ${namesOf(uncertain)} the order is the paper's, the certainty is not: more seeds would tell.`]),
    ...(alike.length === 0
      ? []
      : [
          `Against ${namesOf(alike)} no difference is to be seen. A hypothesis: neighbouring blocks of this deep and narrow ` +
            "teacher are nearly equal, so that recovery evens out which of two stays; the same comparison with a tenth of the " +
            "recovery, or at a quarter of the depth, would show larger differences if that is so.",
        ]),
    ...(reversed.length === 0
      ? []
      : [
          `Against ${reversed.map(reversedText).join(" and ")} the paper's order is reversed. A hypothesis: the search minimises ` +
            "the training loss, all timesteps alike, and what lowers that need not lower FD-digits; a search whose loss weighs " +
            "timesteps as the sampler visits them would tell.",
        ]),
  ];
}

function reversedText({ rival, test, near }: PrimaryComparison): string {
  const p = `two-sided p = ${pText(test!.twoSided)}${test!.twoSided < LEVEL ? ", the other way" : ""}`;
  const { sharedBlocks, blocks, heldOut } = near!;
  const loss = `${Math.abs(heldOut.mean).toFixed(5)} ± ${heldOut.standardError.toFixed(5)} ${heldOut.mean > 0 ? "lower" : "higher"}`;
  return (
    `${rival} (${p}; the two share ${sharedBlocks.toFixed(1)} of ${blocks} blocks, and after recovery the held-out loss of the ` +
    `learned mask is ${loss})`
  );
}

/** All numbers of the tests. */
export function primarySection(comparisons: readonly PrimaryComparison[]): Section {
  const cell = (p: number | undefined) => (p === undefined ? "–" : pText(p));
  const shown = ({ lacks, test }: PrimaryComparison) => (lacks === undefined ? test : undefined);
  return {
    heading: "Primary comparisons",
    kind: "table",
    columns: [
      ...["learned against", "paired seeds", "different masks, learned and rival", "rival − learned"],
      ...["p one-sided", "p two-sided", "p after Holm"],
    ],
    rows: comparisons.map((one) => [
      ...[one.rival, one.test?.n ?? 0, `${one.masks.own}, ${one.masks.rival}`],
      ...[one.test ? meanText(one.test) : "–", cell(shown(one)?.oneSided), cell(shown(one)?.twoSided)],
      cell(one.corrected),
    ]),
    strongRows: comparisons.flatMap((one, row) => (isDecided(one) ? [row] : [])),
    caption: `${caption}${oneMaskText(comparisons)}`,
  };
}

const caption =
  "Exact sign-flip tests of FD-digits, paired by seed. The hypothesis, fixed before running, is that the rival's is " +
  `higher; Holm's correction is over these three one-sided tests, bold is below ${LEVEL}. The best method by score is the ` +
  "one of lowest mean over the common seeds, chosen before its further seeds are run; those common seeds count in its " +
  "test, which favours it. No p-value is shown before all planned pairs have scores. All else in these studies is mean ± " +
  "standard error, without p-values.";

/** Seeds that share a mask do not show how masks differ. */
function oneMaskText(comparisons: readonly PrimaryComparison[]): string {
  const several = comparisons.filter(({ test }) => test && test.n > 1);
  const arms = [
    ...(several.some(({ masks }) => masks.own === 1) ? ["learned"] : []),
    ...several.filter(({ masks }) => masks.rival === 1).map(({ rival }) => rival),
  ];
  if (arms.length === 0) return "";
  return ` All seeds of ${listed(arms)} have one mask: the spread there is of recovery and sampling only.`;
}
