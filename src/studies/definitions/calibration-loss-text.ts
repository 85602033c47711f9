/** What the study of calibration loss says of the loss right after pruning as a guide, among all masks and within a half. */
import type { Find } from "../cells/cell.ts";
import { type DecisiveBlock, largest, smallest } from "../pipeline/decisive-block.ts";
import type { RandomMasks } from "../pipeline/mask-losses.ts";
import { differenceText, isClear, missingText, NOT_TOLD_APART } from "../report/compared.ts";
import { commonSeeds, distanceOf, pairedDifferences, type RecoveredArms } from "../report/distances.ts";
import { troubleText } from "../report/recovered-table.ts";
import { counted } from "../report/words.ts";
import { type Mean, meanOf, meanText } from "../statistics/mean.ts";

export interface Guide {
  /** Masks of smallest, middle and largest loss of all. */
  readonly recovered: RecoveredArms;
  /** Those of middle and largest loss in the better half. */
  readonly better: RecoveredArms;
  readonly random: RandomMasks | undefined;
  readonly halves: DecisiveBlock | undefined;
}

const QUESTION = "Is low calibration loss a bad guide here too?";

/** The answer in full, with what may be behind it. */
export function guideText(guide: Guide, find: Find): string {
  const { recovered, better, random } = guide;
  if (!random) return `${QUESTION} No random mask was looked at yet.`;
  const arms = [...recovered, ...better];
  const verdict = missingText(arms, find) ?? verdictOf(guide, find);
  const parts = [QUESTION, verdict, separationText(guide), numbersText(guide, find), troubleText(arms, find)];
  return parts.filter(Boolean).join(" ");
}

/** The answer in two lines. */
export function guideHeadline(guide: Guide, find: Find): string {
  const { recovered, better, halves } = guide;
  const all = differenceToMiddle(recovered, find);
  if (missingText([...recovered, ...better], find) || all.n === 0)
    return `${QUESTION} That is open: cells are missing.`;
  const means = recovered.map((arm) => meanText(distanceOf(arm, find, commonSeeds(recovered, find))));
  const numbers = `of random masks the one of smallest loss recovers to ${means[0]}, the one in the middle to ${means[1]}, that of largest loss to ${means[2]}`;
  if (!isClear(all)) return `${QUESTION} Among random masks ${NOT_TOLD_APART}: ${numbers}.`;
  if (all.mean < 0) return `${QUESTION} Yes: ${numbers}.`;
  const within = withinHalf(guide, find);
  if (within.n === 0 || !halves || (isClear(within) && within.mean > 0)) return `${QUESTION} No: ${numbers}.`;
  const side = `those that ${halves.keeps ? "keep" : "drop"} block ${halves.block}`;
  return `${QUESTION} In part: ${numbers}; but among ${side} the smallest loss is ${comparison(within)}.`;
}

/** Above 0 where the smallest loss is lower in FD-digits than the one in the middle. */
function differenceToMiddle([min, median, max]: RecoveredArms, find: Find): Mean {
  return meanOf(pairedDifferences(min!, median!, find, commonSeeds([min!, median!, max!], find)));
}

/** The same in the better half, which has the smallest loss of all. */
const withinHalf = ({ recovered: [min], better }: Guide, find: Find): Mean =>
  differenceToMiddle([min!, ...better], find);

const comparison = (difference: Mean): string =>
  isClear(difference)
    ? `${differenceText(difference)} than the one in the middle`
    : `${NOT_TOLD_APART} from the one in the middle (${differenceText(difference)})`;

function verdictOf(guide: Guide, find: Find): string {
  const all = differenceToMiddle(guide.recovered, find);
  if (all.n === 0) return "No seed has scores for all three masks.";
  const pairs = counted(all.n, "paired seed");
  const found = `FD-digits of the mask of smallest loss is ${differenceText(all)} than that of the one in the middle (${pairs})`;
  if (!isClear(all)) {
    return (
      `The two are ${NOT_TOLD_APART}: ${found}, unlike in the paper. A hypothesis: neighbouring blocks of this teacher are nearly ` +
      "equal, and recovery evens out which of two stays; a shorter recovery would tell."
    );
  }
  if (all.mean < 0) return `Yes: ${found}, as in the paper.`;
  const { halves } = guide;
  const within = withinHalf(guide, find);
  if (within.n === 0 || !halves) return `No: ${found}, unlike in the paper.`;
  const side = `among masks that ${halves.keeps ? "keep" : "drop"} block ${halves.block}`;
  if (isClear(within) && within.mean > 0) {
    return (
      `No: ${found}, unlike in the paper, and ${side} by ${within.mean.toFixed(1)} as well. A hypothesis: with one of every two ` +
      "neighbours kept, no mask of this teacher removes a whole region, and loss and recovery go together; random masks without " +
      "groups would tell."
    );
  }
  return (
    `In part: ${found}, unlike in the paper, since block ${halves.block} decides on both; but ${side} the smallest loss is ` +
    `${comparison(within)} (${counted(within.n, "paired seed")}).`
  );
}

/** Which block parts the losses, as a sentence where it does so without exception. */
function separationText({ halves }: Guide): string {
  if (!halves?.divides) return "";
  const { block, better, worse, keeps } = halves;
  const [low, high] = keeps ? ["keep", "drop"] : ["drop", "keep"];
  return (
    `All ${better.length} random masks of loss up to ${largest(better).toFixed(2)} ${low} block ${block}, the ${worse.length} others, ` +
    `from ${smallest(worse).toFixed(2)}, ${high} it.`
  );
}

const words = ["smallest", "middle", "largest"] as const;

function numbersText({ recovered, better, random }: Guide, find: Find): string {
  const seeds = commonSeeds(recovered, find);
  if (!random || seeds.length === 0) return "";
  const picks = [random.picks.min, random.picks.median, random.picks.max];
  const texts = recovered.map(
    (arm, i) =>
      `${meanText(distanceOf(arm, find, seeds))} for the one of ${words[i]} loss (${picks[i]!.loss.toFixed(4)})`,
  );
  const [median, max] = better.map((arm) => distanceOf(arm, find, seeds));
  const half =
    median!.n > 0 && max!.n > 0
      ? ` In the better half it is ${meanText(median!)} for the one of middle and ${meanText(max!)} for the one of largest loss.`
      : "";
  return (
    `Of ${random.losses.length} random masks, over ${counted(seeds.length, "common seed")}, FD-digits after recovery is ${texts[0]}, ` +
    `${texts[1]} and ${texts[2]}.${half} Each is one mask: the errors are of recovery and sampling.`
  );
}
