/** Places for the labels of a chart's points: as near as possible, on nothing that is drawn and on no other label. */

export interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** A label that is wanted at the point (x, y), of this size. */
export interface WantedLabel {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface PlacedLabel {
  readonly box: Box;
  /** Units from the point. */
  readonly distance: number;
}

const distances = [9, 11, 14, 18, 22, 27, 32, 44, 58, 74, 92, 112, 134, 158, 184];
/** Units from a point to a label that needs no line to it. */
export const BESIDE = 14;
/** Sixteenths of a turn: first down and left, where points of a front have nothing below them, then to both sides of that. */
const turns = [6, 7, 5, 8, 4, 9, 3, 10, 2, 11, 1, 12, 0, 13, 15, 14];

/**
 * Places labels in turn, each at the nearest free place around its point; undefined for one that has none. What comes first
 * takes room from what comes later, so both orders are tried.
 * @param drawn what is taken
 * @param within the area for labels
 */
export function placeLabels(wanted: readonly WantedLabel[], drawn: readonly Box[], within: Box) {
  const forward = placeInTurn(wanted, drawn, within);
  const backward = placeInTurn(wanted.toReversed(), drawn, within).reverse();
  const total = (labels: typeof forward) => labels.reduce((sum, label) => sum + (label?.distance ?? 1000), 0);
  return total(forward) <= total(backward) ? forward : backward;
}

function placeInTurn(wanted: readonly WantedLabel[], drawn: readonly Box[], within: Box): (PlacedLabel | undefined)[] {
  const taken = [...drawn];
  const isFree = (box: Box) => !taken.some((other) => overlap(box, other));
  return wanted.map((label) => {
    const free = placesAround(label).filter(({ box }) => isInside(box, within) && isFree(box));
    // A line that leads through something is better than no label.
    const place = free.find((one) => leaderOf(label, one).slice(2).every(isFree)) ?? free[0];
    if (place) taken.push(place.box, ...leaderOf(label, place));
    return place;
  });
}

/** The line from a point to its label, if one is needed. */
const leaderOf = ({ x, y }: WantedLabel, { box, distance }: PlacedLabel): Box[] =>
  distance > BESIDE ? boxesAlong([x, y], nearestIn(box, x, y)) : [];

/** The place in a box that is nearest to (x, y). */
export const nearestIn = ({ left, right, top, bottom }: Box, x: number, y: number): [number, number] => [
  Math.min(right, Math.max(left, x)),
  Math.min(bottom, Math.max(top, y)),
];

/** The square around a point. */
export const boxAround = ([x, y]: readonly [number, number], radius: number): Box => ({
  left: x - radius,
  right: x + radius,
  top: y - radius,
  bottom: y + radius,
});

/** Small boxes along a line. */
export function boxesAlong([x1, y1]: readonly [number, number], [x2, y2]: readonly [number, number]): Box[] {
  const count = Math.ceil(Math.hypot(x2 - x1, y2 - y1) / 4);
  return Array.from({ length: count + 1 }, (_, i) =>
    boxAround([x1 + ((x2 - x1) * i) / count, y1 + ((y2 - y1) * i) / count], 1.5),
  );
}

const placesAround = ({ x, y, width, height }: WantedLabel): PlacedLabel[] =>
  distances.flatMap((distance) =>
    turns.map((turn) => {
      const [dx, dy] = [Math.cos((Math.PI * turn) / 8), Math.sin((Math.PI * turn) / 8)];
      const left = x + distance * dx - (Math.abs(dx) < 0.2 ? width / 2 : dx > 0 ? 0 : width);
      const top = y + (distance + height / 2) * dy - height / 2; // above and below the point, by the label's height
      return { distance, box: { left, right: left + width, top, bottom: top + height } };
    }),
  );

const overlap = (a: Box, b: Box): boolean =>
  a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

const isInside = (a: Box, of: Box): boolean =>
  a.left >= of.left && a.right <= of.right && a.top >= of.top && a.bottom <= of.bottom;
