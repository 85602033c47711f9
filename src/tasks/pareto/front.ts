/** The Pareto front: the points that no other beats in both ways. */

/** Smaller is better in both. */
export interface Contender {
  readonly seconds: number;
  readonly distance: number;
}

/**
 * The points for which no other is at least as fast and at least as good, and better in one of the two; from fast to
 * slow. Of equal points the first stays. Points that are not finite never belong to it.
 */
export function paretoFront<P extends Contender>(points: readonly P[]): P[] {
  const drawable = points.filter(({ seconds, distance }) => Number.isFinite(seconds) && Number.isFinite(distance));
  const front: P[] = [];
  for (const point of drawable.toSorted((a, b) => a.seconds - b.seconds || a.distance - b.distance)) {
    if (point.distance < (front.at(-1)?.distance ?? Number.POSITIVE_INFINITY)) front.push(point);
  }
  return front;
}
