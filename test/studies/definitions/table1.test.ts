import { describe, expect, test } from "vitest";
import type { Cell, Find } from "../../../src/studies/cells/cell.ts";
import { studiesOf } from "../../../src/studies/definitions/studies.ts";
import { type Arm, inOrder } from "../../../src/studies/definitions/study.ts";
import { bestOf, table1 } from "../../../src/studies/definitions/table1.ts";
import { budgets } from "../../../src/studies/pipeline/budget.ts";
import type { RecoveredResult } from "../../../src/studies/pipeline/recovered-cell.ts";
import { csvText } from "../../../src/studies/report/write-report.ts";
import { primaryComparisons } from "../../../src/studies/statistics/paired.ts";

const study = table1({ budget: budgets.full, fashion: "nowhere" });
const none: Find = () => undefined;

const resultOf = (distance: number, more: Partial<RecoveredResult> = {}): RecoveredResult => ({
  ...{ blocks: 14, kept: [0, 2], parameters: 1000, macs: 5, losses: { pruned: 0.2, heldOut: 0.1 } },
  scores: { distance, distanceError: 1, floor: 15, labelAccuracy: 0.9, precision: 0.8, recall: 0.7 },
  ...{ seconds: { choose: 1, recover: 2, sample: 3, score: 4 }, secondsPerImage: 0.01 },
  ...more,
});

/** Finds results by the rule of an arm and a seed; none where it gives none. */
const finding =
  (rule: (arm: string, seed: number) => number | RecoveredResult | undefined): Find =>
  <R>(cell: Cell<R>) => {
    const found = rule(cell.arm, cell.seed);
    return (typeof found === "number" ? resultOf(found) : found) as R | undefined;
  };

const arms = (find: Find) => study.arms(find) as Arm<RecoveredResult>[];
const seedsIn = (find: Find, name: string) =>
  arms(find)
    .find((arm) => arm.name === name)!
    .cells.map(({ seed }) => seed);

const eight = [0, 1, 2, 3, 4, 5, 6, 7];

describe("the plan of table 1", () => {
  test("has eight seeds for primary arms, three for others, and all arms of a seed before the next", () => {
    expect([seedsIn(none, "learned"), seedsIn(none, "oracle"), seedsIn(none, "random-median")]).toEqual([
      eight,
      eight,
      eight,
    ]);
    for (const name of ["shortgpt", "taylor-free", "uniform", "random", "min-loss", "width", "teacher"]) {
      expect([name, seedsIn(none, name)]).toEqual([name, [0, 1, 2]]);
    }
    const seeds = inOrder(study.arms(none)).map(({ seed }) => seed);
    expect(seeds).toEqual(seeds.toSorted((a, b) => a - b));
  });

  test("gives the best method by score its other seeds once all of them have the common ones, and no other", () => {
    const common = (arm: string, seed: number) => (seed < 3 ? (arm === "taylor" ? 30 : 40 + arm.length) : undefined);
    expect(seedsIn(finding(common), "taylor")).toEqual(eight);
    expect(seedsIn(finding(common), "shortgpt")).toEqual([0, 1, 2]);
    const unfinished = finding((arm, seed) => (arm === "flux-lite-free" && seed === 2 ? undefined : common(arm, seed)));
    expect(seedsIn(unfinished, "taylor")).toEqual([0, 1, 2]);
    // Rules and masks by luck are not chosen, however good.
    expect(
      seedsIn(
        finding((arm, seed) => (arm === "uniform" ? 1 : common(arm, seed))),
        "uniform",
      ),
    ).toEqual([0, 1, 2]);
  });

  test("does not choose a method of which a cell has no scores", () => {
    const two = arms(none).filter(({ name }) => name === "taylor" || name === "shortgpt");
    const { scores: _, ...broken } = resultOf(0);
    const find = finding((arm, seed) => (arm === "shortgpt" ? (seed === 0 ? broken : 10) : 30));
    expect(bestOf(two, find)).toBe("taylor");
  });

  test("pairs arms of a seed by equal seeds of recovery and sampling, and gives other seeds others", () => {
    const settings = arms(none).flatMap(({ cells }) =>
      cells.map(({ seed, settings: s }) => [seed, s.recoverySeed, s.seed]),
    );
    for (const [seed, recovery, sampling] of settings)
      expect([recovery, sampling]).toEqual([1000 + (seed as number), seed]);
  });
});

describe("all studies", () => {
  test("name every cell once, and share cells only where the settings are the same", () => {
    const cells = studiesOf({ budget: budgets.full, fashion: "nowhere" }).flatMap((one) => inOrder(one.arms(none)));
    const settings = new Map<string, string>();
    for (const cell of cells) {
      const text = JSON.stringify([cell.settings, cell.needs.map(({ file }) => file)]);
      expect([cell.file, settings.get(cell.file) ?? text]).toEqual([cell.file, text]);
      settings.set(cell.file, text);
    }
    expect(
      cells.map(({ file }) => file).filter((file) => !/^[a-z0-9-]+\/cells\/[a-zA-Z0-9.-]+-s\d\.json$/.test(file)),
    ).toEqual([]);
  });

  test("report that nothing is there without failing", () => {
    for (const one of studiesOf({ budget: budgets.full, fashion: "nowhere" })) {
      const { answer, table } = one.report(none);
      expect(answer, one.name).toMatch(/yet|Not all|No study/);
      expect(table.rows).toEqual([]);
    }
  });
});

describe("the report of table 1", () => {
  /** Learned is better than `by` says, by seed. */
  const against = (by: (seed: number) => number) =>
    finding((arm, seed) => (arm === "learned" ? 40 : arm === "taylor" ? 40 + by(seed) - 1 : 40 + by(seed)));

  test("says that the learned mask wins, by how much and with what certainty", () => {
    const { answer, sections, table } = study.report(against((seed) => 5 + seed));
    expect(answer).toMatch(/^Does the learned mask beat every rival after equal recovery\? Yes, all three/);
    expect(answer).toContain("Against oracle its FD-digits is 8.5 ± 0.9 lower (8 paired seeds, corrected p = 0.012)");
    expect(answer).toContain("Against taylor (best by score) its FD-digits is 7.5 ± 0.9 lower");
    const primary = sections.find(({ heading }) => heading === "Primary comparisons") as unknown as {
      rows: unknown[][];
    };
    expect(primary.rows[0]).toEqual(["oracle", 8, "8.5 ± 0.9", "0.0039", "0.0078", "0.012"]);
    expect(table.rows).toHaveLength(8 * 4 + 3 * 14);
    expect(csvText(table).split("\n")[1]).toMatch(
      /^learned,0,14,0 2,1000,5,0\.2,0\.1,,40,1,15,0\.9,0\.8,0\.7,1,2,3,4,0\.01$/,
    );
  });

  test("says that it does not, with a hypothesis, where it does not", () => {
    const { answer } = study.report(against((seed) => (seed % 2 ? 3 : -4)));
    expect(answer).toMatch(
      /That is not shown here\. .* higher .*The paper's order does not reproduce against oracle and/,
    );
    expect(answer).toMatch(/A hypothesis: .* would show larger differences if that is so\.$/);
  });

  test("shows no p-value before all planned seeds are there", () => {
    const partial: Find = (cell) => (cell.seed < 3 ? against(() => 5)(cell) : undefined);
    const { answer, sections } = study.report(partial);
    expect(answer).toMatch(
      /Not all cells of this comparison are there\. Against oracle its FD-digits is 5\.0 ± 0\.0 lower/,
    );
    expect(answer).not.toMatch(/p = /);
    expect(JSON.stringify(sections)).toContain('["oracle",3,"5.0 ± 0.0","–","–","–"]');
  });

  test("names cells whose recovery broke off", () => {
    const find = finding((arm, seed) => (arm === "width" && seed === 1 ? resultOf(900, { stoppedAt: 17 }) : 40));
    expect(JSON.stringify(study.report(find).sections)).toContain(
      "Recovery went wrong in 1 cell: width, seed 1: the loss was not finite at step 17.",
    );
  });
});

describe("primary comparisons", () => {
  test("pair seeds that both have, and correct over all", () => {
    const [learned, oracle, median] = arms(none);
    const find = finding((arm, seed) => ({ learned: 10, oracle: 12 + seed, "random-median": seed < 4 ? 9 : 13 })[arm]);
    const rivals = [oracle!, median!].map((arm) => ({ name: arm.name, arm }));
    const found = primaryComparisons(learned!, rivals, find);
    expect(found.map(({ test: t }) => t!.oneSided)).toEqual([1 / 256, expect.any(Number)]);
    expect(found[0]!.corrected).toBe(2 / 256);
    const { oneSided } = found[1]!.test!;
    expect([found[1]!.corrected, oneSided > 0.05]).toEqual([oneSided, true]);
  });
});
