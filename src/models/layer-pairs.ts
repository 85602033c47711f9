/** Which blocks of a shallow model answer to which blocks of its teacher. */

/** Student block → teacher block. */
export type LayerMap = readonly (readonly [student: number, teacher: number])[];

/** Whether these are pairs of blocks that student and teacher have. */
export function isLayerMap(pairs: unknown, studentDepth: number, teacherDepth: number): pairs is LayerMap {
  const isBelow = (block: unknown, depth: number) =>
    Number.isSafeInteger(block) && Number(block) >= 0 && Number(block) < depth;
  const isPair = (pair: unknown) =>
    Array.isArray(pair) && pair.length === 2 && isBelow(pair[0], studentDepth) && isBelow(pair[1], teacherDepth);
  return Array.isArray(pairs) && pairs.every(isPair);
}
