/** Which blocks of a shallow model answer to which blocks of its teacher. */

/** Student block → teacher block. */
export type LayerMap = readonly (readonly [student: number, teacher: number])[];

/**
 * The pairs of the last student with the first teacher, from those of each pruning in turn, oldest first. A block whose
 * partner has none in the pruning before is left out.
 */
export function composedLayerMap(maps: readonly LayerMap[]): LayerMap {
  return maps.reduceRight((later, earlier) => {
    const teachers = new Map(earlier);
    return later.flatMap(([student, between]) => {
      const teacher = teachers.get(between);
      return teacher === undefined ? [] : [[student, teacher] as const];
    });
  });
}

/** Whether these are pairs of blocks that student and teacher have. */
export function isLayerMap(pairs: unknown, studentDepth: number, teacherDepth: number): pairs is LayerMap {
  const isBelow = (block: unknown, depth: number) =>
    Number.isSafeInteger(block) && Number(block) >= 0 && Number(block) < depth;
  const isPair = (pair: unknown) =>
    Array.isArray(pair) && pair.length === 2 && isBelow(pair[0], studentDepth) && isBelow(pair[1], teacherDepth);
  return Array.isArray(pairs) && pairs.every(isPair);
}
