import { describe, expect, test } from "vitest";
import { integers } from "../../src/array/random.ts";
import { textWidth } from "../../src/report/chart-frame.ts";
import { labelSize, type PlacedLabel, placeLabels } from "../../src/report/label-places.ts";

const within = { left: 0, right: 600, top: 0, bottom: 330 };
const nothing = { boxes: [], segments: [] };

/** Points of what a label covers at the larger text size, close enough that nothing drawn slips between them. */
function* covered({ at, text }: PlacedLabel): Generator<[number, number]> {
  const [width, height] = [labelSize * textWidth(text), 20 * labelSize];
  const left = at.anchor === "start" ? at.x : at.anchor === "end" ? at.x - width : at.x - width / 2;
  for (let dx = 0; dx <= width; dx += 0.5) {
    for (let dy = 0.1; dy < height; dy += 0.5) yield [left + dx, at.y - height / 2 + dy];
  }
}

describe("labels", () => {
  test("stand below and left of a free point, without a line that leads there", () => {
    const [label] = placeLabels([{ x: 300, y: 100, text: "10 steps" }], nothing, within);
    expect(label!.at).toMatchObject({ anchor: "end" });
    expect([label!.at.x < 300, label!.at.y > 100, label!.leader]).toEqual([true, true, undefined]);
  });

  test("of a crowd all find a place, on no line, point or other label", () => {
    const numbers = integers({ seed: 2, purpose: "points", step: 0, index: 0 }, 16, 90);
    const wanted = Array.from({ length: 8 }, (_, i) => ({
      ...{ x: 250 + numbers[2 * i]!, y: 120 + numbers[2 * i + 1]!, text: `${i} steps, cache 0.3` },
    })).toSorted((a, b) => a.x - b.x);
    const boxes = wanted.map(({ x, y }) => ({ left: x - 6, right: x + 6, top: y - 6, bottom: y + 6 }));
    const segments = wanted.slice(1).map(({ x, y }, i) => ({ x1: wanted[i]!.x, y1: wanted[i]!.y, x2: x, y2: y }));
    const labels = placeLabels(wanted, { boxes, segments }, within) as PlacedLabel[];
    expect(labels.map((label) => label?.text)).toEqual(wanted.map(({ text }) => text));
    const areas = labels.map((label) => [...covered(label)]);
    const inBox = ([x, y]: [number, number]) =>
      boxes.some(({ left, right, top, bottom }) => left < x && x < right && top < y && y < bottom);
    const cells = new Set<string>();
    for (const [i, area] of areas.entries()) {
      expect(area.filter(inBox), labels[i]!.text).toEqual([]);
      expect(area.every(([x, y]) => x >= 0 && x <= 600 && y >= 0 && y <= 330)).toBe(true);
      const own = new Set(area.map(([x, y]) => `${Math.floor(x)} ${Math.floor(y)}`));
      const inner = [...own].filter((key) => cells.has(key));
      expect(inner.length, `${labels[i]!.text} touches another`).toBeLessThan(250); // an edge shares pixels, not an area
      for (const key of own) cells.add(key);
    }
    for (const { x1, y1, x2, y2 } of segments) {
      for (let t = 0; t <= 1; t += 0.01) {
        const [x, y] = [x1 + t * (x2 - x1), y1 + t * (y2 - y1)];
        for (const area of areas) {
          expect(area.some(([ax, ay]) => Math.abs(ax - x) < 0.25 && Math.abs(ay - y) < 0.25)).toBe(false);
        }
      }
    }
  });

  test("give way to what is drawn, a line leading where they are far, and are left out where all is taken", () => {
    const point = { x: 300, y: 150, text: "10 steps" };
    const box = { left: 220, right: 380, top: 110, bottom: 190 };
    const [away] = placeLabels([point], { boxes: [box], segments: [] }, within);
    expect(away!.leader).toMatchObject({ x1: 300, y1: 150 });
    expect(away!.distance).toBeGreaterThan(30);
    expect(placeLabels([point], { boxes: [within], segments: [] }, within)).toEqual([undefined]);
    expect(placeLabels([point], nothing, { ...within, right: 20 })).toEqual([undefined]);
  });
});
