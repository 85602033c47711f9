import { describe, expect, test } from "vitest";
import { integers } from "../../../src/array/random.ts";
import type { CellResult, TimedCell } from "../../../src/tasks/pareto/cell.ts";
import {
  frontChart,
  frontOf,
  paretoFront,
  remarkedText,
  repeatedCells,
  samplingText,
  shortSamplingText,
  usualSampler,
} from "../../../src/tasks/pareto/front.ts";

const at = (seconds: number, distance: number) => ({ seconds, distance });

describe("the front", () => {
  test("is what no other point beats, from fast to slow", () => {
    const points = [at(3, 1), at(1, 9), at(2, 4), at(2, 5), at(4, 1), at(1, 10), at(5, 2)];
    expect(paretoFront(points)).toEqual([at(1, 9), at(2, 4), at(3, 1)]);
  });

  test("has one of equal points, and none that is not finite", () => {
    expect(paretoFront([at(1, 1), at(1, 1), at(Number.NaN, 0), at(0, Number.POSITIVE_INFINITY)])).toEqual([at(1, 1)]);
    expect(paretoFront([])).toEqual([]);
  });

  test("agrees with the definition on random points", () => {
    const numbers = integers({ seed: 5, purpose: "points", step: 0, index: 0 }, 120, 12);
    const points = Array.from({ length: 60 }, (_, i) => at(numbers[2 * i]!, numbers[2 * i + 1]!));
    const beaten = (p: (typeof points)[number]) =>
      points.some(
        (q) => q.seconds <= p.seconds && q.distance <= p.distance && (q.seconds < p.seconds || q.distance < p.distance),
      );
    const expected = new Set(points.filter((p) => !beaten(p)).map(({ seconds, distance }) => `${seconds} ${distance}`));
    const found = paretoFront(points).map(({ seconds, distance }) => `${seconds} ${distance}`);
    expect(found.length).toBe(expected.size);
    expect(new Set(found)).toEqual(expected);
  });
});

interface Cached {
  readonly tolerance: number;
  readonly savedShare: number;
  readonly computedAt?: object;
}

/** A cell as it is reported, as far as a report asks. */
const cell = (id: string, median: number, estimate: number, cache?: Cached, steps = "ddim5"): TimedCell =>
  ({
    ...{ id, metric: "FD", score: { estimate, standardError: 0.1, more: {} } },
    model: { name: "4 blocks", sha256: "00", weights: "ema" },
    settings: { steps, sampler: "ddim", count: 9, ...(cache && { cache: cache.tolerance, cacheImages: 8 }) },
    derived: cache ? { cache } : {},
    ...{ secondsPerImage: median, seconds: { median, least: median / 2, most: 2 * median, rounds: 3 } },
  }) as unknown as TimedCell;

/** As a study reports them. */
function reported(cells: readonly TimedCell[]): TimedCell[] {
  const repeated = repeatedCells(cells);
  return cells.map((one) => (repeated.has(one.id) ? { ...one, sameWorkAs: repeated.get(one.id)! } : one));
}

const idle = (id: string, median: number, tolerance: number) => cell(id, median, 7, { tolerance, savedShare: 0 });
const saving = (id: string, median: number, tolerance: number, at: number) =>
  cell(id, median, 5, { tolerance, savedShare: 0.5, computedAt: { attention: [0, at], mlp: [0] } });

describe("cells that do the same work", () => {
  test("are a cell without a cache and those whose cache saves nothing", () => {
    const cells = [idle("a", 1, 0.1), cell("b", 2, 7), idle("c", 3, 0.2), cell("d", 2, 7, undefined, "ddim6")];
    expect([...repeatedCells(cells)]).toEqual([
      ["a", "b"],
      ["c", "b"],
    ]);
  });

  test("are caches that compute at the same evaluations; of those without an equal the first stays", () => {
    const cells = [saving("a", 1, 0.2, 2), saving("b", 2, 0.3, 2), saving("c", 3, 0.4, 3), idle("d", 1, 0.1)];
    expect([...repeatedCells(cells)]).toEqual([["b", "a"]]);
  });

  test("are not so for other models, blocks, weights or settings", () => {
    const one = cell("a", 1, 1);
    const others: CellResult[] = [
      { ...one, id: "b", model: { ...one.model, sha256: "01" } },
      { ...one, id: "c", model: { ...one.model, kept: [0] } },
      { ...one, id: "d", model: { ...one.model, weights: "raw" } },
      { ...one, id: "e", settings: { ...one.settings, cfgScale: 3 } },
    ];
    expect(repeatedCells([one, ...others]).size).toBe(0);
  });

  test("are one point, on the front or not; the table says which saves nothing", () => {
    const cells = reported([
      cell("plain", 2, 7),
      idle("idle", 1, 0.1),
      saving("a", 3, 0.2, 2),
      saving("b", 2.5, 0.3, 2),
    ]);
    expect(frontOf(cells)).toEqual(["plain", "a"]);
    const svg = frontChart(cells, frontOf(cells));
    expect(svg.match(/<title>[^<]*<\/title><\/path>/g)).toHaveLength(2);
    expect(svg).toMatch(/>5 steps<\/text>/);
    expect(svg).toMatch(/>5 steps, cache 0\.2<\/text>/);
    expect(svg).toContain("seconds per image, median and range of 3 rounds");
    expect(cells.map((one) => remarkedText(one, cells))).toEqual([
      "ddim5",
      "ddim5, cache 0.1 (saves nothing)",
      "ddim5, cache 0.2",
      "ddim5, cache 0.3 (same work as ddim5, cache 0.2)",
    ]);
  });

  test("a cache that saves nothing is drawn where no cell goes without one", () => {
    const cells = reported([idle("idle", 1, 0.1)]);
    expect(frontOf(cells)).toEqual(["idle"]);
    expect(remarkedText(cells[0]!, cells)).toBe("ddim5, cache 0.1 (saves nothing)");
  });
});

describe("the name of a sampling", () => {
  const of = (settings: object) => ({ settings }) as never as TimedCell;

  test("says sampler, steps and cache, short the sampler only where it is not the usual one", () => {
    const solver = of({ sampler: "dpm++2m", steps: "ddim10", cache: 0.3 });
    expect([samplingText(solver), samplingText(of({ sampler: "ddim", steps: "ddim10" }))]).toEqual([
      "dpm++2m ddim10, cache 0.3",
      "ddim10",
    ]);
    expect(shortSamplingText(solver, "ddim")).toBe("dpm++2m, 10 steps, cache 0.3");
    expect(shortSamplingText(solver, "dpm++2m")).toBe("10 steps, cache 0.3");
    expect(shortSamplingText(of({ steps: "1" }), undefined)).toBe("1 step");
    expect(shortSamplingText(of({ sampler: "ddpm", steps: "10,15,20" }), "ddpm")).toBe("10,15,20 steps");
  });

  test("the usual sampler is that of most cells", () => {
    const some = ["a", "b", "b"].map((sampler) => of({ sampler, steps: "2" }));
    expect([usualSampler(some), usualSampler([of({ steps: "2" })])]).toEqual(["b", undefined]);
  });
});
