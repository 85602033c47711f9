/** When searches settle, and how far they agree. */

/** The share of a search after which its decision no longer changed: 0 if it never did. */
export const lastFlip = (flips: readonly number[], steps: number): number => (flips.at(-1) ?? 0) / steps;

/** Share of blocks that two masks decide alike, mean over all pairs of masks; NaN of fewer than two. */
export function agreementOf(masks: readonly (readonly number[])[], depth: number): number {
  const shares = masks.flatMap((a, i) => masks.slice(i + 1).map((b) => alike(a, b, depth)));
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

function alike(a: readonly number[], b: readonly number[], depth: number): number {
  const [one, other] = [new Set(a), new Set(b)];
  const same = Array.from({ length: depth }, (_, block) => one.has(block) === other.has(block));
  return same.filter(Boolean).length / depth;
}
