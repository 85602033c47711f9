/** What studies say of cells that are there for some seeds only, that diverged, and of all that are planned. */

import { parseGroups, randomMask } from "tinyfusion";
import { describe, expect, test } from "vitest";
import { studiesOf } from "../../src/definitions/studies.ts";
import { budgets } from "../../src/pipeline/budget.ts";
import { answer, diverged, finding, type Rule, resultOf, shared, study } from "./found.ts";

const headline = (name: string, rule: Rule): string => study(name).report(finding(rule)).headline!;

describe("distillation", () => {
  // The arm of masked distillation is table 1's.
  const arms = ["none", "output", "features-unmasked", "masked-0.1", "learned", "masked-4"];
  const by =
    (higher: Record<string, number>): Rule =>
    (arm, seed) =>
      arms.includes(arm) ? 30 + shared(seed) + (higher[arm] ?? 0) * (1 + seed / 10) : undefined;

  test("beats the others where each is clearly higher", () => {
    const all = Object.fromEntries(arms.filter((arm) => arm !== "learned").map((arm) => [arm, 5]));
    const said = answer("distillation", by(all));
    expect(said).toMatch(/^Does masked .*\? Yes: it is lower than each by at least two standard errors\. /);
    expect(said).toContain(
      "FD-digits of masked 2σ is 40.0 ± 5.8, 5.5 ± 0.3 lower than none, 5.5 ± 0.3 lower than output,",
    );
    expect(said).toMatch(/; 3 paired seeds\.$/);
    expect(headline("distillation", by(all))).toBe(said);
    expect(headline("distillation", () => undefined)).toMatch(/kinds\? That is open: cells are missing\.$/);
  });

  test("is told apart only from those that differ by two standard errors, with a hypothesis", () => {
    const rule: Rule = (arm, seed) =>
      arm === "output" ? 30 + shared(seed) + [2, -1, 1][seed]! : by({ none: 5, "masked-4": -5 })(arm, seed);
    const said = answer("distillation", rule);
    expect(said).toContain(
      "? Not each of them: its FD-digits is lower than none, not to be told apart from output, features unmasked and masked 0.1σ, higher than masked 4σ.",
    );
    expect(said).toContain("0.7 ± 0.9 lower than output (not to be told apart)");
    expect(said).not.toMatch(/Yes|No\b/);
    expect(said).toContain("the loss of features has little weight");
  });

  test("compares equal seeds only, and says neither yes nor no before all cells are there", () => {
    const rule: Rule = (arm, seed) => (arm === "none" && seed > 0 ? undefined : by({ none: 5 })(arm, seed));
    const said = answer("distillation", rule);
    expect(said).toContain("? Not all planned cells are there: missing are 2 of 3 of none. FD-digits");
    expect(said).toMatch(/is 30\.0, 5\.0 lower than none \(not to be told apart\), .*; 1 paired seed\.$/);
    expect(said).not.toMatch(/Yes|No\b|hypothesis/);
  });

  test("says that an arm diverged, and compares the others over the seeds that they have", () => {
    const all = by(Object.fromEntries(arms.filter((arm) => arm !== "learned").map((arm) => [arm, 5])));
    const one = answer("distillation", (arm, seed) => (arm === "none" && seed === 2 ? diverged : all(arm, seed)));
    expect(one).toMatch(/FD-digits of masked 2σ is 35\.0 ± 5\.0, .* 2 paired seeds\. 1 cell diverged: none, seed 2/);
    const whole = answer("distillation", (arm, seed) => (arm === "none" ? diverged : all(arm, seed)));
    expect(whole).toMatch(
      /\? Yes: .* is 40\.0 ± 5\.8, 5\.5 ± 0\.3 lower than output, .*3 cells diverged: none, seed 0/,
    );
    expect(whole).not.toContain("lower than none");
    expect(answer("distillation", (arm) => (arms.includes(arm) ? diverged : undefined))).toContain(
      "? No seed has scores to compare. 18 cells diverged",
    );
    const alone = answer("distillation", (arm, seed) => (arm === "learned" ? all(arm, seed) : diverged));
    expect(alone).toMatch(/\? No seed has scores to compare\. 15 cells diverged/);
  });
});

describe("calibration loss", () => {
  const pick = (loss: number) => ({ kept: [0, 2], loss });
  // Of the masks that the study draws again, those that keep block 0 have a loss of 1.
  const groups = parseGroups("1:2", [28]);
  const drawn = [0, 1, 2, 3, 4, 5].map((i) => randomMask(groups, 0, i));
  const losses = drawn.map((kept, i) => (kept.includes(0) ? 1 : 2 + i / 10));
  const masks = { losses, picks: { min: pick(1), median: pick(2), max: pick(3) }, seconds: 1 };
  const by =
    (distances: Record<string, (seed: number) => number | object | undefined>): Rule =>
    (arm, seed) =>
      arm === "random-masks" ? masks : arm === "picked-masks" ? { oracle: 1.5 } : distances[arm]?.(seed);
  const halves = (distance: (seed: number) => number) => ({
    ...{ "median-of-better-half": distance, "max-of-better-half": distance },
  });
  const at = (distance: number) => (seed: number) => distance + shared(seed) + seed / 10;

  test("is a bad guide where the mask of smallest loss is clearly worse, a good one where it is better", () => {
    const bad = answer("calibration-loss", by({ min: at(35), median: shared, max: at(40), ...halves(at(20)) }));
    expect(bad).toMatch(
      /\? Yes: FD-digits of the mask of smallest loss is 35\.1 ± 0\.1 higher than .* \(3 paired seeds\)/,
    );
    expect(bad).toContain(
      "Of 6 random masks, over 3 common seeds, FD-digits after recovery is 45.1 ± 5.8 for the one of smallest loss (1.0000), 10.0 ± 5.8",
    );
    expect(headline("calibration-loss", by({ min: at(35), median: shared, max: at(40), ...halves(at(20)) }))).toMatch(
      /too\? Yes: of random masks .* smallest loss recovers to 45\.1 ± 5\.8, .* middle to 10\.0 ± 5\.8, .* largest loss to 50\.1/,
    );
    const better = by({ min: shared, median: at(35), max: at(40), ...halves(at(20)) });
    const good = answer("calibration-loss", better);
    expect(good).toMatch(
      /\? No: .* is 35\.1 ± 0\.1 lower than .*no other of these masks is as good\. A hypothesis: with one of every two/,
    );
    expect(headline("calibration-loss", better)).toMatch(
      /too\? No: of random masks .* largest loss to 50\.1 ± 5\.8; of those that keep block 0, the one in the middle to 30\.1/,
    );
  });

  test("is a guide in part where another mask is as good, and says which block parts the losses", () => {
    const near = (seed: number) => shared(seed) + [2, -1, 1][seed]!;
    const rule = by({ min: shared, median: at(35), max: at(40), ...halves(near) });
    expect(answer("calibration-loss", rule)).toMatch(
      /\? In part: .* 35\.1 ± 0\.1 lower than .*; but among all of these masks it is lower than median and max, not to be told apart from median of better half and max of better half\. All 3 random masks of loss up to 1\.00 keep block 0, the 3 others, from 2\.20, drop it\./,
    );
    expect(headline("calibration-loss", rule)).toMatch(/too\? In part: of random/);
    const worse = by({ min: shared, median: at(35), max: at(40), ...halves((seed) => shared(seed) - 5 - seed / 10) });
    expect(answer("calibration-loss", worse)).toContain("median and max, higher than median of better half and max of");
  });

  test("is neither where the two are not to be told apart", () => {
    const near = (seed: number) => shared(seed) + [2, -1, 1][seed]!;
    const said = answer("calibration-loss", by({ min: shared, median: near, max: at(40), ...halves(at(20)) }));
    expect(said).toMatch(
      /\? The two are not to be told apart: .* 0\.7 ± 0\.9 lower .* nearly equal, and recovery evens/,
    );
    expect(said).not.toMatch(/\? (Yes|No)/);
    expect(headline("calibration-loss", by({ min: shared, median: near, max: at(40), ...halves(at(20)) }))).toContain(
      "? Among random masks not to be told apart: of random",
    );
  });

  test("waits for all cells, compares common seeds only, and says which diverged", () => {
    const some = (seed: number) => (seed === 0 ? 35 : undefined);
    const partial = answer("calibration-loss", by({ min: some, median: at(20), max: at(40), ...halves(at(20)) }));
    expect(partial).toMatch(/\? Not all planned cells are there: missing are 2 of 3 of min\. .*Of 6 .* 1 common seed/);
    expect(partial).toContain("35.0 for the one of smallest loss (1.0000), 20.0 for the one of middle");
    const broken = answer(
      "calibration-loss",
      by({ min: () => diverged, median: at(20), max: at(40), ...halves(at(20)) }),
    );
    expect(broken).toMatch(/\? No seed has scores for all of these masks\. .*3 cells diverged: min, seed 0/);
    expect(answer("calibration-loss", () => undefined)).toMatch(/No random mask was looked at yet/);
  });
});

describe("loss and distance of methods", () => {
  // Losses rise with the length of a method's name, distances fall, but for the learned mask.
  const found = (arm: string, seed: number) => {
    const length = arm === "learned" ? 6 : arm.length;
    return resultOf(60 - length + shared(seed), { losses: { pruned: length / 100, heldOut: 1 - length / 100 } });
  };
  const chart = (rule: Rule) =>
    study("calibration-loss")
      .report(finding(rule))
      .drawings.find(({ name }) => name === "loss-and-distance")!.svg;

  test("are ranked against each other over common seeds, and every method is named", () => {
    const rule: Rule = (arm, seed) => (/^(teacher|width|speed)$|masks/.test(arm) ? undefined : found(arm, seed));
    const said = answer("calibration-loss", rule);
    expect(said).toContain(
      "Among the masks of 16 methods of table1, over 3 common seeds, the rank correlation of loss when pruned and FD-digits " +
        "after recovery is −1.00, that of held-out loss after recovery and FD-digits 1.00: the lowest loss (learned, 0.060) recovers to 64.0 ± 5.8, place ",
    );
    expect(headline("calibration-loss", rule)).toMatch(
      /\. Over 16 methods the rank correlation .* recovery is −1\.00, .* FD-digits 1\.00\.$/,
    );
    expect(said).toMatch(/the lowest FD-digits \(sensitivity-free, 54\.0 ± 5\.8\) began with a loss of 0\.160\./);
    for (const name of ["learned", "oracle", "loss-greedy-free", "uniform"])
      expect(chart(rule)).toContain(`>${name}</text>`);
  });

  test("leaves out what diverged, and says nothing of two methods", () => {
    const some =
      (names: string[]): Rule =>
      (arm, seed) =>
        names.includes(arm) ? found(arm, seed) : arm === "taylor" ? diverged : undefined;
    expect(answer("calibration-loss", some(["oracle", "learned", "uniform"]))).toContain(
      "Among the masks of 3 methods",
    );
    expect(answer("calibration-loss", some(["oracle", "learned"]))).not.toContain("Among");
    expect(chart(some([]))).toContain("no data");
  });
});

describe("update", () => {
  const by =
    (higher: Record<string, (seed: number) => number>): Rule =>
    (arm, seed) => {
      const own = arm === "learned" ? "1-2-lora" : arm;
      return 30 + shared(seed) + (higher[own]?.(seed) ?? 4 + seed / 10);
    };

  test("names the best of each grouping with paired differences", () => {
    const said = answer(
      "update",
      by({ "2-4-lora": () => 0, "7-14-full": () => 0, "7-14-none": (s) => [2, -1, 1][s]! }),
    );
    expect(said).toContain(
      "With 2:4 one way is the best: FD-digits of lora is 40.0 ± 5.8, 4.1 ± 0.1 lower than full, 4.1 ± 0.1 lower than none and " +
        "4.1 ± 0.1 lower than lora kept; 3 paired seeds.",
    );
    expect(said).toContain("With 7:14 the best are not to be told apart: FD-digits of full is 40.0 ± 5.8,");
    expect(said).toContain("0.7 ± 0.9 lower than none (not to be told apart)");
    // The same masks give the same students.
    expect(said).toContain("With 1:2 all are not to be told apart: FD-digits of lora is");
  });

  test("waits for all cells of a grouping, and leaves out seeds and arms that diverged", () => {
    const whole = by({ "2-4-lora": () => 0 });
    const said = answer("update", (arm, seed) => {
      if (arm === "learned" && seed > 0) return undefined;
      if (arm === "2-4-none") return diverged;
      return arm === "2-4-full" && seed === 1 ? diverged : whole(arm, seed);
    });
    expect(said).toContain("With 1:2: Not all planned cells are there: missing are 2 of 3 of 1:2 lora. With 2:4 one");
    expect(said).toMatch(
      /With 2:4 one way is the best: FD-digits of lora is 40\.0 ± 10\.0, \S+ ± 0\.1 lower than full and/,
    );
    expect(said).toContain("2 paired seeds. With 7:14");
    expect(said).toMatch(/4 cells diverged: 2:4 full, seed 1: .*; 2:4 none, seed 0/);
    const alone = answer("update", (arm, seed) => (/^2-4-(?!lora$)/.test(arm) ? diverged : whole(arm, seed)));
    expect(alone).toContain("With 2:4 no seed has scores to compare.");
  });
});

describe("two stages", () => {
  const [STAGED, ONCE] = ["28-to-14-to-7", "28-to-7-at-once"];

  test("are compared with one over common seeds, and told apart only by two standard errors", () => {
    const clear = answer("two-stage", (arm, seed) => shared(seed) + (arm === ONCE ? 45 + seed : 40));
    expect(clear).toBe(
      "In two stages FD-digits is 6.0 ± 0.6 lower than at once (3 paired seeds). FD-digits over these seeds: " +
        "28 to 14 to 7 50.0 ± 5.8, 28 to 7 at once 56.0 ± 6.4.",
    );
    const unclear = answer("two-stage", (arm, seed) => shared(seed) + (arm === ONCE ? [42, 39, 41][seed]! : 40));
    expect(unclear).toContain("0.7 ± 0.9 lower than at once (3 paired seeds): the two ways are not to be told apart.");
    const worse = answer("two-stage", (arm, seed) => shared(seed) + (arm === ONCE ? 35 - seed : 40));
    expect(worse).toMatch(
      /^In two stages FD-digits is 6\.0 ± 0\.6 higher than at once .*A hypothesis: of equally many/,
    );
    for (const text of [clear, unclear]) expect(text).not.toContain("hypothesis");
  });

  test("of which cells are missing or diverged are said so", () => {
    const uneven = answer("two-stage", (arm, seed) => (arm === STAGED && seed > 0 ? undefined : 40 + shared(seed)));
    expect(uneven).toContain("Not all planned cells are there: missing are 2 of 3 of 28 to 14 to 7. In two stages");
    expect(uneven).toContain("28 to 14 to 7 40.0, 28 to 7 at once 40.0.");
    const broken = answer("two-stage", (arm) => (arm === STAGED ? diverged : 40));
    expect(broken).toMatch(/^No seed has scores for both ways\. 3 cells diverged: 28 to 14 to 7, seed 0/);
  });
});

describe("three arms", () => {
  test("are paired rival by rival, with the number of pairs behind each difference", () => {
    const said = answer("fashion", (arm, seed) => {
      if (arm === "oracle") return seed === 2 ? undefined : 45 + shared(seed) + seed;
      if (arm === "random-median") return 40 + shared(seed) + [2, -1, 1][seed]!;
      return arm === "learned" ? 40 + shared(seed) : undefined;
    });
    expect(said).toContain(
      "FD-digits of the learned mask is 50.0 ± 5.8 (3 seeds); 5.5 ± 0.5 lower than that of oracle (2 pairs); " +
        "0.7 ± 0.9 lower than that of random-median (3 pairs, not to be told apart).",
    );
  });

  test("that diverged are not said to be missing", () => {
    const rule: Rule = (arm, seed) => (arm === "oracle" ? diverged : arm === "learned" ? 40 + shared(seed) : undefined);
    expect(answer("fashion", rule)).toContain(
      "(3 seeds); oracle has no cell with scores: it diverged; random-median has no cell yet.",
    );
    expect(answer("fashion", (arm) => (arm === "learned" ? diverged : undefined))).toContain(
      "the learned mask has no cell with scores: it diverged.",
    );
  });
});

test("tables count cells and scores apart, and have the work of an evaluation in place of seconds", () => {
  const rule: Rule = (arm, seed) => (arm === "learned" ? (seed === 1 ? diverged : resultOf(40)) : undefined);
  const [table] = study("fashion").report(finding(rule)).sections as unknown as {
    columns: string[];
    rows: string[][];
  }[];
  expect(table!.rows[0]!.slice(0, 3)).toEqual(["learned", "3/3, 2 with scores", "40.0 ± 0.0"]);
  expect(table!.rows[0]![table!.columns.indexOf("GMACs")]).toBe("0.0385");
});

test("answers of tiny budgets say so", () => {
  for (const one of studiesOf({ budget: budgets.tiny, fashion: "nowhere" })) {
    expect(one.report(() => undefined).answer).toMatch(/^Tiny budget: no number here means anything\. /);
  }
});
