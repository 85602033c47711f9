/** The layer map of distillation: which teacher block each student block is compared with. */
import { InputError } from "../array/input-error.ts";
import type { LayerMap } from "../models/layer-pairs.ts";
import { type Group, isInStack, type StackRange, type Stacks, stackRanges } from "./groups.ts";

/**
 * Each in one stack at a time. `paper`: evenly spaced if teacher depth ÷ student depth is whole (student i ↔ teacher
 * (i + 1) · ratio − 1), else as `group`. `group`: the last kept block of each group ↔ the last block of the group.
 * `next-kept`: student j ↔ the teacher block just before the next kept one.
 */
export type LayerMapRule = "paper" | "group" | "next-kept";

export const layerMapRules = ["paper", "group", "next-kept"] as const;

/**
 * The pairs of a rule in forward numbers, for the blocks kept of the teacher's stacks; none for a stack that keeps
 * nothing. Without groups, `group` falls back to `next-kept`.
 */
export function layerMap(
  rule: LayerMapRule,
  stacks: Stacks,
  kept: readonly number[],
  groups?: readonly Group[],
): LayerMap {
  return stackRanges(stacks).flatMap((stack) => {
    const own = kept.filter((block) => isInStack(stack, block));
    const before = kept.filter((block) => block < stack.start).length;
    const inside = groups?.filter(({ start }) => isInStack(stack, start));
    return stackPairs(rule, stack, own, inside).map(([student, teacher]) => [before + student, teacher] as const);
  });
}

/** The pairs within a stack: student blocks count from its start, teacher blocks in forward order. */
function stackPairs(
  rule: LayerMapRule,
  { start: first, end }: StackRange,
  kept: readonly number[],
  groups: readonly Group[] | undefined,
): LayerMap {
  const ratio = (end - first) / kept.length;
  if (rule === "paper" && Number.isInteger(ratio)) return kept.map((_, i) => [i, first + (i + 1) * ratio - 1] as const);
  if (rule === "next-kept" || !groups) return kept.map((_, j) => [j, (kept[j + 1] ?? end) - 1] as const);
  return groups.flatMap(({ start, size }) => {
    const count = kept.filter((block) => block < start + size).length;
    return count > 0 && kept[count - 1]! >= start ? [[count - 1, start + size - 1] as const] : [];
  });
}

const wrong = (text: string, why: string): InputError => new InputError(`\`layerMap\` ${text}: ${why}`);

/**
 * Explicit pairs, written `0:1,1:3`.
 * @throws InputError for anything else, a block that student or teacher does not have, or blocks of different stacks.
 */
export function parseLayerMap(text: string, student: Stacks, teacher: Stacks): LayerMap {
  const [own, teachers] = [stackRanges(student), stackRanges(teacher)];
  return text.split(",").map((part) => {
    const match = /^\s*(\d+):(\d+)\s*$/.exec(part);
    if (!match) {
      throw wrong(
        text,
        `expected ${layerMapRules.join(", ")} or pairs student:teacher, such as 0:1,1:3, found "${part}"`,
      );
    }
    const pair = [Number(match[1]), Number(match[2])] as const;
    const places = [
      own.findIndex((stack) => isInStack(stack, pair[0])),
      teachers.findIndex((stack) => isInStack(stack, pair[1])),
    ];
    if (places.includes(-1)) {
      const [depth, teacherDepth] = [own, teachers].map((ranges) => ranges.at(-1)?.end ?? 0);
      throw wrong(
        text,
        `${part} is out of range; the student has blocks 0 to ${depth! - 1}, the teacher 0 to ${teacherDepth! - 1}`,
      );
    }
    if (places[0] !== places[1]) {
      throw wrong(
        text,
        `${part} pairs a block of stack ${places[0]! + 1} with one of stack ${places[1]! + 1}; pair blocks of the same stack`,
      );
    }
    return pair;
  });
}
