import { describe, expect, test } from "vitest";
import { budgets } from "../../src/pipeline/budget.ts";
import type { RecoveredResult } from "../../src/pipeline/recovered-trial.ts";
import { primaryComparisons } from "../../src/report/primary.ts";
import { csvText } from "../../src/report/write-report.ts";
import { studiesOf } from "../../src/studies/studies.ts";
import { inOrder, type Variant } from "../../src/studies/study.ts";
import { bestOf, table1 } from "../../src/studies/table1.ts";
import type { Find } from "../../src/trials/trial.ts";
import { diverged, finding as findingAny, none, resultOf, tableOf } from "./found.ts";

const study = table1({ budget: budgets.full, fashion: "nowhere" });
const variants = (find: Find) =>
  study.variants(find).filter(({ name }) => name !== "speed") as Variant<RecoveredResult>[];
/** Of recovered trials alone. */
const finding: typeof findingAny = (rule) =>
  findingAny((variant, seed) => (variant === "speed" ? undefined : rule(variant, seed)));
const seedsIn = (find: Find, name: string) =>
  variants(find)
    .find((variant) => variant.name === name)!
    .trials.map(({ seed }) => seed);

const eight = [0, 1, 2, 3, 4, 5, 6, 7];

describe("the plan of table 1", () => {
  test("has eight seeds for primary variants, three for others, and all variants of a seed before the next", () => {
    expect([seedsIn(none, "learned"), seedsIn(none, "oracle"), seedsIn(none, "random-median")]).toEqual([
      eight,
      eight,
      eight,
    ]);
    for (const name of ["shortgpt", "taylor-free", "uniform", "random", "min-loss", "width", "teacher"]) {
      expect([name, seedsIn(none, name)]).toEqual([name, [0, 1, 2]]);
    }
    const seeds = inOrder(study.variants(none)).map(({ seed }) => seed);
    expect(seeds).toEqual(seeds.toSorted((a, b) => a - b));
  });

  test("gives the best method by score its other seeds once all of them have the common ones, and no other", () => {
    const common = (variant: string, seed: number) =>
      seed < 3 ? (variant === "taylor" ? 30 : 40 + variant.length) : undefined;
    expect(seedsIn(finding(common), "taylor")).toEqual(eight);
    expect(seedsIn(finding(common), "shortgpt")).toEqual([0, 1, 2]);
    const unfinished = finding((variant, seed) =>
      variant === "flux-lite-free" && seed === 2 ? undefined : common(variant, seed),
    );
    expect(seedsIn(unfinished, "taylor")).toEqual([0, 1, 2]);
    // Rules and masks by luck are not chosen, however good.
    expect(
      seedsIn(
        finding((variant, seed) => (variant === "uniform" ? 1 : common(variant, seed))),
        "uniform",
      ),
    ).toEqual([0, 1, 2]);
  });

  test("does not choose a method of which a trial has no scores", () => {
    const two = variants(none).filter(({ name }) => name === "taylor" || name === "shortgpt");
    const find = finding((variant, seed) => (variant === "shortgpt" ? (seed === 0 ? diverged : 10) : 30));
    expect(bestOf(two, find)).toBe("taylor");
  });

  test("pairs variants of a seed by equal seeds of recovery and sampling, and gives other seeds others", () => {
    const settings = variants(none).flatMap(({ trials }) =>
      trials.map(({ seed, settings: s }) => [seed, s.recoverySeed, s.seed]),
    );
    for (const [seed, recovery, sampling] of settings)
      expect([recovery, sampling]).toEqual([1000 + (seed as number), seed]);
  });
});

describe("all studies", () => {
  test("name every trial once, and share trials only where the settings are the same", () => {
    const trials = studiesOf({ budget: budgets.full, fashion: "nowhere" }).flatMap((one) =>
      inOrder(one.variants(none)),
    );
    const settings = new Map<string, string>();
    for (const trial of trials) {
      const text = JSON.stringify([trial.settings, trial.needs.map(({ file }) => file)]);
      expect([trial.file, settings.get(trial.file) ?? text]).toEqual([trial.file, text]);
      settings.set(trial.file, text);
    }
    expect(
      trials.map(({ file }) => file).filter((file) => !/^[a-z0-9-]+\/cells\/[a-zA-Z0-9.-]+-s\d\.json$/.test(file)),
    ).toEqual([]);
  });

  test("report that nothing is there without failing", () => {
    for (const one of studiesOf({ budget: budgets.full, fashion: "nowhere" })) {
      expect(one.report(none).table.rows, one.name).toEqual([]);
    }
  });
});

describe("the report of table 1", () => {
  /** Learned is better than `by` says, by seed. */
  const against = (by: (seed: number) => number) =>
    finding((variant, seed) => (variant === "learned" ? 40 : variant === "taylor" ? 40 + by(seed) - 1 : 40 + by(seed)));
  const primary = (find: Find) => tableOf(study.report(find).sections, "Primary comparisons");

  test("shows by how much the learned mask wins and with what certainty, and every trial in CSV", () => {
    const { sections, table } = study.report(against((seed) => 5 + seed));
    expect(tableOf(sections, "Primary comparisons")).toEqual([
      ["oracle", 8, "1, 1", "8.5 ± 0.9", "0.0039", "0.0078", "0.012"],
      ["random-median", 8, "1, 1", "8.5 ± 0.9", "0.0039", "0.0078", "0.012"],
      ["taylor (best by score)", 8, "1, 1", "7.5 ± 0.9", "0.0039", "0.0078", "0.012"],
    ]);
    expect(sections.find(({ heading }) => heading === "Primary comparisons")).toMatchObject({ strongRows: [0, 1, 2] });
    expect(table.rows).toHaveLength(8 * 4 + 3 * 14);
    expect(csvText(table).split("\n")[1]).toMatch(
      /^learned,0,14,0 2,1000,38544128,0\.2,0\.1,,40,1,15,0\.9,0\.8,0\.7,1,2,3,4,0\.01$/,
    );
  });

  test("compares every variant but the teacher with the learned mask, over the seeds that both have", () => {
    const find = finding((variant, seed) =>
      variant === "width" ? 38 : variant === "learned" ? 40 + (seed % 2) : 45 + seed,
    );
    const rows = tableOf(study.report(find).sections, "Differences from learned");
    // Over seeds 0 to 2 the learned mask has 40, 41 and 40; over all its mean is 40.5.
    expect(rows[0]).toEqual(["width", "learned", 3, "38.0 ± 0.0", "40.3 ± 0.3", "-2.3 ± 0.3", "yes"]);
    expect(rows.map(([name]) => name)).not.toContain("teacher");
    expect(rows).toHaveLength(16);
  });

  test("shows how near the masks of primary comparisons are, and how far their losses", () => {
    const find = finding((variant, seed) => {
      const kept = variant === "oracle" ? [0, 3] : [0, 2];
      return resultOf(40 + seed, { kept, losses: { heldOut: variant === "oracle" ? 0.2 + seed / 100 : 0.1 } });
    });
    const rows = tableOf(study.report(find).sections, "How near the masks of the primary comparisons are");
    expect(rows[0]).toEqual(["oracle", "1.0", 14, "0.13500 ± 0.00866"]);
    expect(rows[1]).toEqual(["random-median", "2.0", 14, "0.00000 ± 0.00000"]);
  });

  test("shows no p-value before all planned seeds are there, or where a trial has no scores", () => {
    const partial: Find = (trial) => (trial.seed < 3 ? against(() => 5)(trial) : undefined);
    expect(primary(partial)[0]).toEqual(["oracle", 3, "1, 1", "5.0 ± 0.0", "–", "–", "–"]);
    const find = finding((variant, seed) =>
      variant === "oracle" && seed === 4 ? diverged : 5 + seed + (variant === "learned" ? 0 : 1),
    );
    expect(primary(find)[0]).toEqual(["oracle", 7, "1, 1", "1.0 ± 0.0", "–", "–", "–"]);
    expect(primary(find)[1]![6]).toBe("–"); // Holm's correction waits for all three
    const text = JSON.stringify(study.report(find).sections);
    expect(text).toContain('["oracle","8/8, 7 with scores",');
    expect(tableOf(study.report(find).sections, "Diverged trials")).toEqual([["oracle", 4, "–", "no"]]);
    expect(primary(none)[2]).toEqual(["the best by score", 0, "0, 0", "–", "–", "–", "–"]);
  });

  test("counts different masks, and says where there is one", () => {
    const find = finding((variant, seed) => resultOf(40 + seed, { kept: variant === "oracle" ? [0, seed] : [0, 2] }));
    expect(primary(find)[0]!.slice(0, 3)).toEqual(["oracle", 8, "1, 8"]);
    expect(JSON.stringify(study.report(find).sections)).toMatch(
      /All seeds of learned, random-median and \S+ \(best by score\) have one mask/,
    );
    const several = finding((_, seed) => resultOf(40 + seed, { kept: [0, seed] }));
    expect(JSON.stringify(study.report(several).sections)).not.toContain("have one mask");
  });

  test("shows how fast half of the depth and of the width are, once that is measured", () => {
    const model = { secondsPerImage: 0.02, ratio: 1.9, least: 1.8, most: 2, macsPerImage: 2e9, parameters: 1000 };
    const models = [
      { ...model, name: "teacher", ratio: 1, least: 1, most: 1 },
      { ...model, name: "half depth" },
    ];
    const headings = (find: Find) => study.report(find).sections.map((section) => section.heading);
    const found = findingAny((variant) => (variant === "speed" ? { models } : 40));
    expect(headings(found)).toContain("Speed");
    expect(headings(finding(() => 40))).not.toContain("Speed");
    const rows = study.report(found).sections.find(({ heading }) => heading === "Speed");
    expect(rows).toMatchObject({
      rows: [
        ["teacher", "1.00", "1.00 – 1.00", "20.0", "2.00", "1,000"],
        ["half depth", "1.90", "1.80 – 2.00", "20.0", "2.00", "1,000"],
      ],
    });
  });
});

describe("primary comparisons", () => {
  test("pair seeds that both have, and correct over all", () => {
    const [learned, oracle, median] = variants(none);
    const find = finding(
      (variant, seed) => ({ learned: 10, oracle: 12 + seed, "random-median": seed < 4 ? 9 : 13 })[variant],
    );
    const rivals = [oracle!, median!].map((variant) => ({ name: variant.name, variant }));
    const found = primaryComparisons(learned!, rivals, find);
    expect(found.map(({ test: t }) => t!.oneSided)).toEqual([1 / 256, expect.any(Number)]);
    expect(found[0]!.corrected).toBe(2 / 256);
    const { oneSided } = found[1]!.test!;
    expect([found[1]!.corrected, oneSided > 0.05]).toEqual([oneSided, true]);
  });
});
