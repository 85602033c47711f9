/** Which teacher block each student block imitates. */
import { InputError } from "../array/input-error.ts";
import type { LayerMap } from "../training/distill.ts";
import type { Group } from "./groups.ts";

/**
 * `paper`: evenly spaced if teacher depth ÷ student depth is whole (student i ↔ teacher (i + 1) · ratio − 1), else as
 * `group`. `group`: the last kept block of each group ↔ the last block of the group. `next-kept`: student j ↔ the
 * teacher block just before the next kept one.
 */
export type LayerMapRule = "paper" | "group" | "next-kept";

export const layerMapRules = ["paper", "group", "next-kept"] as const;

/** The pairs of a rule, for the blocks kept of `depth`. Without groups, `group` falls back to `next-kept`. */
export function layerMap(
  rule: LayerMapRule,
  depth: number,
  kept: readonly number[],
  groups?: readonly Group[],
): LayerMap {
  const ratio = depth / kept.length;
  if (rule === "paper" && Number.isInteger(ratio)) return kept.map((_, i) => [i, (i + 1) * ratio - 1] as const);
  if (rule === "next-kept" || !groups) return kept.map((_, j) => [j, (kept[j + 1] ?? depth) - 1] as const);
  let count = 0;
  return groups.map(({ start, size, keep }) => {
    count += keep;
    return [count - 1, start + size - 1] as const;
  });
}

/**
 * Explicit pairs, written `0:1,1:3`.
 * @throws InputError for anything else, or a block that student or teacher does not have.
 */
export function parseLayerMap(text: string, studentDepth: number, teacherDepth: number): LayerMap {
  return text.split(",").map((part) => {
    const match = /^\s*(\d+):(\d+)\s*$/.exec(part);
    if (!match) throw new InputError(`layer map "${text}": "${part}" is not a pair student:teacher, such as 0:1`);
    const [student, teacher] = [Number(match[1]), Number(match[2])];
    if (student >= studentDepth || teacher >= teacherDepth) {
      throw new InputError(
        `layer map "${text}": ${part} is outside the student's ${studentDepth} or the teacher's ${teacherDepth} blocks`,
      );
    }
    return [student, teacher] as const;
  });
}
