/** Where the labels of a chart's points stand: as near as possible, on nothing that is drawn and on no other label. */
import { textWidth } from "./chart-frame.ts";

export interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** A line from one point to another. */
export interface Segment {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
}

/** What a chart has drawn. */
export interface Drawn {
  readonly boxes: readonly Box[];
  readonly segments: readonly Segment[];
}

/** A label that is wanted at the point (x, y). */
export interface WantedLabel {
  readonly x: number;
  readonly y: number;
  readonly text: string;
}

export interface PlacedLabel extends WantedLabel {
  /** Where the text is anchored; its vertical middle. */
  readonly at: { readonly x: number; readonly y: number; readonly anchor: "start" | "middle" | "end" };
  /** Units from the point. */
  readonly distance: number;
  /** From the point to a label that is not beside it. */
  readonly leader?: Segment;
}

/** Of the font size of a chart's text; and units of a line at the larger text size, which charts leave room for. */
export const labelSize = 0.92;
const lineHeight = 20 * labelSize;
/** Units from a point to its label. Further away than the first few, a line leads there. */
const distances = [9, 11, 14, 18, 22, 27, 32, 44, 58, 74, 92, 112, 134, 158, 184];
const BESIDE = 14;
const DIRECTIONS = 16;
/** Where the first direction points, in sixteenths of a turn: down and left, where points of a front have nothing below them. */
const FIRST = 6;

interface Place extends Omit<PlacedLabel, keyof WantedLabel> {
  readonly box: Box;
}

/**
 * Places labels in turn, each at the nearest free place around its point; undefined for one that has none. What comes first
 * takes room from what comes later, so both orders are tried.
 * @param within where labels may stand
 */
export function placeLabels(
  wanted: readonly WantedLabel[],
  drawn: Drawn,
  within: Box,
): readonly (PlacedLabel | undefined)[] {
  const forward = placeInTurn(wanted, drawn, within);
  const backward = placeInTurn(wanted.toReversed(), drawn, within).reverse();
  return wayOf(forward) <= wayOf(backward) ? forward : backward;
}

/** Units from all points to their labels; none at all is further than any. */
const wayOf = (labels: readonly (PlacedLabel | undefined)[]): number =>
  labels.reduce((sum, label) => sum + (label?.distance ?? 10 * distances.at(-1)!), 0);

function placeInTurn(wanted: readonly WantedLabel[], drawn: Drawn, within: Box): (PlacedLabel | undefined)[] {
  const boxes = [...drawn.boxes];
  const segments = [...drawn.segments];
  return wanted.map((label) => {
    const free = Array.from(places(label)).filter(
      ({ box }) =>
        isInside(box, within) &&
        !boxes.some((other) => overlap(box, other)) &&
        !segments.some((segment) => crosses(segment, box)),
    );
    // A line that leads through something is better than no label.
    const isClear = ({ leader }: Place) =>
      !(leader && boxes.some((other) => crosses(leader, other) && !holds(other, label)));
    const place = free.find(isClear) ?? free[0];
    if (place === undefined) return undefined;
    const { box, ...placed } = place;
    boxes.push(box);
    if (placed.leader) segments.push(placed.leader);
    return { ...label, ...placed };
  });
}

/** Places around a point, the nearest first. */
function* places(label: WantedLabel): Generator<Place> {
  const width = labelSize * textWidth(label.text);
  for (const distance of distances) {
    for (const turn of turns) {
      const angle = (2 * Math.PI * turn) / DIRECTIONS;
      const [dx, dy] = [Math.cos(angle), Math.sin(angle)];
      const anchor = Math.abs(dx) < 0.2 ? "middle" : dx > 0 ? "start" : "end";
      const x = label.x + distance * dx;
      // A label above or below stands off by its own height, one beside by its middle.
      const y = label.y + (distance + lineHeight / 2) * dy;
      const left = anchor === "start" ? x : anchor === "end" ? x - width : x - width / 2;
      const box = { left, right: left + width, top: y - lineHeight / 2, bottom: y + lineHeight / 2 };
      const end = { x2: x, y2: anchor === "middle" ? y - Math.sign(dy) * (lineHeight / 2) : y };
      const leader = distance > BESIDE ? { leader: { x1: label.x, y1: label.y, ...end } } : {};
      yield { at: { x, y, anchor }, distance, box, ...leader };
    }
  }
}

/** 6, 7, 5, 8, 4 …: from the first direction to both sides. */
const turns: readonly number[] = Array.from(
  { length: DIRECTIONS },
  (_, i) => FIRST + (i % 2 === 0 ? -i / 2 : (i + 1) / 2),
);

const overlap = (a: Box, b: Box): boolean =>
  a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

const isInside = (a: Box, of: Box): boolean =>
  a.left >= of.left && a.right <= of.right && a.top >= of.top && a.bottom <= of.bottom;

const holds = (box: Box, { x, y }: WantedLabel): boolean =>
  box.left <= x && x <= box.right && box.top <= y && y <= box.bottom;

/** Whether some of a segment lies in a box: the part between its sides, cut to that between its top and bottom. */
function crosses({ x1, y1, x2, y2 }: Segment, { left, right, top, bottom }: Box): boolean {
  const between = (from: number, to: number, low: number, high: number): [number, number] => {
    if (from === to) return low <= from && from <= high ? [0, 1] : [1, 0];
    const [a, b] = [(low - from) / (to - from), (high - from) / (to - from)];
    return [Math.max(0, Math.min(a, b)), Math.min(1, Math.max(a, b))];
  };
  const [across, down] = [between(x1, x2, left, right), between(y1, y2, top, bottom)];
  return Math.max(across[0], down[0]) <= Math.min(across[1], down[1]);
}
