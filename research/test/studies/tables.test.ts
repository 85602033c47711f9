/** What the tables of studies hold where trials are missing, diverged, or all there. */
import { parseGroups, randomMask, type Section } from "tinyfusion";
import { describe, expect, test } from "vitest";
import { diverged, finding, type Rule, resultOf, shared, study, tableOf } from "./found.ts";

const tables = (name: string, rule: Rule): readonly Section[] => study(name).report(finding(rule)).sections;

describe("differences", () => {
  // The variant of masked distillation is table 1's.
  const variants = ["none", "output", "features-unmasked", "masked-0.1", "learned", "masked-4"];
  const by =
    (higher: Record<string, number>): Rule =>
    (variant, seed) =>
      variants.includes(variant) ? 30 + shared(seed) + (higher[variant] ?? 0) * (1 + seed / 10) : undefined;
  const differences = (rule: Rule) => tableOf(tables("distillation", rule), "Differences from masked 2σ");

  test("are paired by seed, and count from two standard errors on", () => {
    const rule: Rule = (variant, seed) =>
      variant === "output" ? 30 + shared(seed) + [2, -1, 1][seed]! : by({ none: 5, "masked-4": -5 })(variant, seed);
    const rows = differences(rule);
    expect(rows[0]).toEqual(["none", "masked 2σ", 3, "45.5 ± 6.1", "40.0 ± 5.8", "5.5 ± 0.3", "yes"]);
    expect(rows[1]).toEqual(["output", "masked 2σ", 3, "40.7 ± 5.5", "40.0 ± 5.8", "0.7 ± 0.9", "no"]);
    expect(rows[4]).toEqual(["masked 4σ", "masked 2σ", 3, "34.5 ± 5.5", "40.0 ± 5.8", "-5.5 ± 0.3", "yes"]);
  });

  test("are of the seeds that both have; one pair shows no error and decides nothing", () => {
    const rule: Rule = (variant, seed) => (variant === "none" && seed > 0 ? undefined : by({ none: 5 })(variant, seed));
    expect(differences(rule)[0]).toEqual(["none", "masked 2σ", 1, "35.0", "30.0", "5.0", "no"]);
    const one = differences((variant, seed) => (variant === "output" && seed === 2 ? diverged : by({})(variant, seed)));
    expect(one[1]!.slice(0, 5)).toEqual(["output", "masked 2σ", 2, "35.0 ± 5.0", "35.0 ± 5.0"]);
    const whole = differences((variant, seed) => (variant === "output" ? diverged : by({})(variant, seed)));
    expect(whole.map(([name]) => name)).not.toContain("output");
    expect(differences(() => undefined)).toEqual([]);
  });

  test("of groups are from the one of lowest mean", () => {
    const higher: Record<string, (seed: number) => number> = { "2-4-lora": () => 0, "7-14-full": () => 0 };
    const rule: Rule = (variant, seed) => {
      const own = variant === "learned" ? "1-2-lora" : variant;
      return own === "2-4-none" ? diverged : 30 + shared(seed) + (higher[own]?.(seed) ?? 4 + seed / 10);
    };
    const of = (groups: string) =>
      tableOf(tables("update", rule), `Groups ${groups}: differences from the lowest mean`);
    expect(of("2:4").map(([name, reference, , , , difference]) => [name, reference, difference])).toEqual([
      ["2:4 full", "2:4 lora", "4.1 ± 0.1"],
      ["2:4 lora kept", "2:4 lora", "4.1 ± 0.1"],
    ]);
    expect(new Set(of("7:14").map(([, reference]) => reference))).toEqual(new Set(["7:14 full"]));
  });
});

describe("diverged trials", () => {
  test("have a table that says which and where, and there is none without", () => {
    const rule: Rule = (variant, seed) => {
      if (variant === "28-to-14-to-7") return seed === 0 ? diverged : resultOf(900, { stoppedAt: 17 });
      return 40 + shared(seed);
    };
    expect(tableOf(tables("two-stage", rule), "Diverged trials")).toEqual([
      ["28 to 14 to 7", 0, "–", "no"],
      ["28 to 14 to 7", 1, 17, "yes"],
      ["28 to 14 to 7", 2, 17, "yes"],
    ]);
    expect(tables("two-stage", () => 40).map(({ heading }) => heading)).toEqual([
      "Both ways",
      "Differences from 28 to 7 at once",
    ]);
  });
});

describe("calibration loss", () => {
  const pick = (loss: number) => ({ kept: [0, 2], loss });
  // Of the masks that the study draws again, those that keep block 0 have a loss of 1.
  const groups = parseGroups("1:2", [28]);
  const drawn = [0, 1, 2, 3, 4, 5].map((i) => randomMask(groups, 0, i));
  const losses = drawn.map((kept, i) => (kept.includes(0) ? 1 : 2 + i / 10));
  const masks = { losses, picks: { min: pick(1), median: pick(2), max: pick(3) }, seconds: 1 };
  const rule: Rule = (variant) =>
    variant === "random-masks" ? masks : variant === "picked-masks" ? { oracle: 1.5 } : undefined;

  test("of random masks is shown with the block that divides them", () => {
    const found = tables("calibration-loss", rule);
    expect(tableOf(found, "Random masks by the block that decides most")).toEqual([
      ["keep block 0", 3, "1.00", "1.00"],
      ["drop block 0", 3, "2.20", "2.50"],
    ]);
    expect(tableOf(found, "Random masks of smallest, middle and largest loss")).toEqual([
      ["min", "1.0000", "0 2"],
      ["median", "2.0000", "0 2"],
      ["max", "3.0000", "0 2"],
    ]);
    expect(tableOf(found, "Losses of the methods' masks")).toEqual([["oracle", "1.5000", "50.0"]]);
  });
});

describe("loss and distance of methods", () => {
  // Losses rise with the length of a method's name, distances fall, but for the learned mask.
  const found = (variant: string, seed: number) => {
    const length = variant === "learned" ? 6 : variant.length;
    return resultOf(60 - length + shared(seed), { losses: { pruned: length / 100, heldOut: 1 - length / 100 } });
  };
  const report = (rule: Rule) => study("calibration-loss").report(finding(rule));
  const correlations = (rule: Rule) => tableOf(report(rule).sections, "Rank correlation with FD-digits after recovery");
  const chart = (rule: Rule) => report(rule).figures.find(({ name }) => name === "loss-and-distance")!.svg;

  test("are ranked against each other over common seeds, and every method is named", () => {
    const rule: Rule = (variant, seed) =>
      /^(teacher|width|speed)$|masks/.test(variant) ? undefined : found(variant, seed);
    expect(correlations(rule)).toEqual([
      ["loss when pruned", 16, 3, "−1.00"],
      ["held-out loss", 16, 3, "1.00"],
    ]);
    const methods = tableOf(report(rule).sections, "Losses and FD-digits of the methods of table1");
    expect(methods[0]).toEqual(["sensitivity-free", "54.0 ± 5.8", "0.160 ± 0.000", "0.8400 ± 0.0000"]);
    for (const name of ["learned", "oracle", "loss-greedy-free", "uniform"])
      expect(chart(rule)).toContain(`>${name}</text>`);
  });

  test("leaves out what diverged, and correlates no two methods", () => {
    const some =
      (names: string[]): Rule =>
      (variant, seed) =>
        names.includes(variant) ? found(variant, seed) : variant === "taylor" ? diverged : undefined;
    expect(correlations(some(["oracle", "learned", "uniform"]))[0]!.slice(0, 2)).toEqual(["loss when pruned", 3]);
    expect(correlations(some(["oracle", "learned"]))).toEqual([]);
    expect(chart(some([]))).toContain("no data");
  });
});

describe("searches", () => {
  const mask = (flips: number[], kept: number[]) => ({ kept, flips, confidence: [0.9], seconds: 1 });

  test("of several lengths and rates are counted by their masks", () => {
    const rule: Rule = (variant, seed) => {
      if (!variant.startsWith("dit-learned")) return undefined;
      const steps = Number(/(\d+)-steps/.exec(variant)?.[1] ?? 600);
      return mask([steps / 10], steps === 300 && seed === 2 ? [1, 2] : [0, 2]);
    };
    const found = tables("search-length", rule);
    expect(tableOf(found, "Masks of longer searches")).toEqual([
      [150, 36, 2],
      [300, 27, 2],
      [600, 18, 1],
      [1200, 9, 1],
    ]);
    const [row] = tableOf(found, "Lengths and rates");
    expect(row).toEqual([150, 0.001, 3, "1.0 ± 0.0", "10 ± 0", "10", "100", "1"]);
  });

  test("of one length agree by blocks that two decide alike", () => {
    const rule: Rule = (_, seed) => mask([60], seed === 0 ? [0, 2] : [0, 3]);
    const found = tables("decisions", rule);
    expect(tableOf(found, "Agreement of seeds")).toEqual([[8, 2, "98"]]);
    expect(tableOf(found, "Searches")[0]).toEqual([0, 1, "10%", "0.90", "1", "0 2"]);
    expect(
      tableOf(
        tables("decisions", () => undefined),
        "Agreement of seeds",
      ),
    ).toEqual([[0, 0, "–"]]);
  });
});

test("the classifier of Fashion-MNIST is shown with its accuracy", () => {
  const found = tables("fashion", (variant) => (variant === "trained-classifier" ? { accuracy: 0.9031 } : undefined));
  expect(tableOf(found, "The classifier trained here")).toEqual([["90.3"]]);
});

test("activations are shown block by block and over all blocks", () => {
  const block = (number: number, extremeShare: number) => ({
    block: number,
    counts: new Array(80).fill(1),
    extremeShare,
    extremeEnergy: 0.5,
    largest: number,
  });
  const pairs = [
    [0, 1],
    [1, 3],
  ];
  const found = { pairs, teacher: [block(1, 0.02), block(3, 0.04)], student: [block(0, 0.01), block(1, 0.01)] };
  const shown = tables("activations", () => found);
  expect(tableOf(shown, "Over all compared blocks").slice(0, 2)).toEqual([
    ["teacher", "3.0%", "50.0%", "3.0"],
    ["student", "1.0%", "50.0%", "1.0"],
  ]);
});
