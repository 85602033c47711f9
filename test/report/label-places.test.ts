import { describe, expect, test } from "vitest";
import { integers } from "../../src/array/random.ts";
import { type Box, placeLabels } from "../../src/report/label-places.ts";

const within = { left: 0, right: 600, top: 0, bottom: 330 };
const label = (x: number, y: number, width = 50) => ({ x, y, width, height: 15 });

describe("labels", () => {
  test("stand below and left of a free point", () => {
    const [place] = placeLabels([label(300, 100)], [], within);
    expect([place!.box.right < 300, place!.box.bottom > 100, place!.distance]).toEqual([true, true, 9]);
  });

  test("of a crowd all find a place, on no point and no other label", () => {
    const numbers = integers({ seed: 2, purpose: "points", step: 0, index: 0 }, 16, 90);
    const wanted = Array.from({ length: 8 }, (_, i) => label(250 + numbers[2 * i]!, 120 + numbers[2 * i + 1]!, 120));
    const points = wanted.map(({ x, y }) => ({ left: x - 6, right: x + 6, top: y - 6, bottom: y + 6 }));
    const boxes = placeLabels(wanted, points, within).map((place) => place!.box);
    const all: readonly Box[] = [...points, ...boxes];
    for (const [i, a] of boxes.entries()) {
      expect(a.right - a.left).toBeCloseTo(120, 9);
      expect([a.left >= 0, a.right <= 600, a.top >= 0, a.bottom <= 330]).toEqual([true, true, true, true]);
      const touched = all.filter(
        (b) => b !== a && a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom,
      );
      expect(touched, `label ${i}`).toEqual([]);
    }
  });

  test("give way to what is drawn, and are left out where all is taken", () => {
    const point = label(300, 150);
    const [away] = placeLabels([point], [{ left: 220, right: 380, top: 110, bottom: 190 }], within);
    expect(away!.distance).toBeGreaterThan(30);
    expect(placeLabels([point], [within], within)).toEqual([undefined]);
    expect(placeLabels([point], [], { ...within, right: 20 })).toEqual([undefined]);
  });
});
