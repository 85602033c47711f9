/** What the study of calibration loss says of the loss right after pruning as a guide, among all masks and within a half. */

import { counted } from "tinyfusion";
import type { Find } from "../cells/cell.ts";
import { type DecisiveBlock, largest, smallest } from "../pipeline/decisive-block.ts";
import type { RandomMasks } from "../pipeline/mask-losses.ts";
import {
  comparedWith,
  differenceText,
  isClear,
  missingText,
  NOT_TOLD_APART,
  standingText,
} from "../report/compared.ts";
import { commonSeeds, distanceOf, type RecoveredArms } from "../report/distances.ts";
import { troubleText } from "../report/recovered-table.ts";
import { meanText } from "../statistics/mean.ts";

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
  const arms = [...recovered, ...better];
  const seeds = commonSeeds(arms, find);
  if (missingText(arms, find) || seeds.length === 0) return `${QUESTION} That is open: cells are missing.`;
  const [min, median, max, halfMedian, halfMax] = arms.map((arm) => meanText(distanceOf(arm, find, seeds)));
  const half = halves
    ? `; of those that ${halves.keeps ? "keep" : "drop"} block ${halves.block}, the one in the middle to ${halfMedian}, that of ` +
      `largest loss to ${halfMax}`
    : "";
  return (
    `${QUESTION} ${verdicts[judged(guide, find).verdict]}: of random masks the one of smallest loss recovers to ${min}, the one in the ` +
    `middle to ${median}, that of largest loss to ${max}${half}.`
  );
}

const verdicts = {
  good: "No",
  bad: "Yes",
  partly: "In part",
  alike: `Among random masks ${NOT_TOLD_APART}`,
} as const;

/** The mask of smallest loss against the others, at first against the one in the middle, as the paper has it. */
function judged({ recovered: [min, ...recovered], better }: Guide, find: Find) {
  const compared = comparedWith(min!, [...recovered, ...better], find);
  const [toMiddle, ...rest] = compared.others;
  const { difference } = toMiddle!;
  const verdict = (): keyof typeof verdicts => {
    if (!isClear(difference)) return "alike";
    if (difference.mean < 0) return "bad";
    return rest.every((other) => isClear(other.difference) && other.difference.mean > 0) ? "good" : "partly";
  };
  return { verdict: verdict(), compared, difference };
}

function verdictOf(guide: Guide, find: Find): string {
  if (commonSeeds([...guide.recovered, ...guide.better], find).length === 0) {
    return "No seed has scores for all of these masks.";
  }
  const { verdict, compared, difference } = judged(guide, find);
  const pairs = counted(difference.n, "paired seed");
  const found = `FD-digits of the mask of smallest loss is ${differenceText(difference)} than that of the one in the middle (${pairs})`;
  switch (verdict) {
    case "alike":
      return (
        `The two are ${NOT_TOLD_APART}: ${found}, unlike in the paper. A hypothesis: neighbouring blocks of this teacher are ` +
        "nearly equal, and recovery evens out which of two stays; a shorter recovery would tell."
      );
    case "bad":
      return `Yes: ${found}, as in the paper.`;
    case "good":
      return (
        `No: ${found}, unlike in the paper, and no other of these masks is as good. A hypothesis: with one of every two neighbours ` +
        "kept, no mask of this teacher removes a whole region, and loss and recovery go together; random masks without groups " +
        "would tell."
      );
    case "partly":
      return `In part: ${found}, unlike in the paper; but among all of these masks it is ${standingText(compared)}.`;
  }
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
