/** What the study of search lengths says: which settings settle and agree, and how masks of slow and fast gates recover. */
import { describe, expect, test } from "vitest";
import { answer, finding, type Rule, resultOf, shared, study } from "./found.ts";

describe("search length", () => {
  const steps = (arm: string) => Number(/(\d+)-steps/.exec(arm)?.[1] ?? 600);
  const isOfMask = (arm: string) => arm.startsWith("dit-");
  const isFast = (arm: string) => arm.includes("-rate");
  const mask = (arm: string, share: number, kept = [0, 2]) => ({ kept, flips: [share * steps(arm)], seconds: 1 });

  test("counts settings only whose seeds are all there, by the latest change of any seed", () => {
    const rule: Rule = (arm, seed) => {
      if (!isOfMask(arm) || isFast(arm)) return undefined;
      // Of 150 steps one seed is not there, of 300 one changes late: its mean is early enough.
      if (steps(arm) === 150) return seed === 2 ? undefined : mask(arm, 0.1);
      return mask(arm, steps(arm) === 300 && seed === 1 ? 0.9 : 0.1);
    };
    expect(answer("search-length", rule)).toBe(
      "The shortest search that stands still for the last third of its run with every seed, and whose seeds agree on at least " +
        "90% of the blocks, has 600 steps at a gate rate of 0.001: seeds agree on 100% (3 of 12 settings have all their seeds).",
    );
    const { sections } = study("search-length").report(finding(rule));
    expect(JSON.stringify(sections)).toContain('[300,0.001,3,"1.0 ± 0.0","37 ± 27","90","100","1"]');
  });

  test("says nothing of agreement where each setting has one seed, and that none is good where all are there", () => {
    const one = answer("search-length", (arm, seed) => (seed === 0 && isOfMask(arm) ? mask(arm, 0.1) : undefined));
    expect(one).toBe("No setting has all its seeds yet.");
    const late = answer("search-length", (arm) => (isOfMask(arm) ? mask(arm, 0.8) : undefined));
    expect(late).toMatch(/^No setting both stands still .* with every seed and .* 90% of the blocks\.$/);
    const other = answer("search-length", (arm, seed) => {
      const kept = Array.from({ length: 14 }, (_, i) => 2 * i + (seed % 2));
      return isOfMask(arm) ? mask(arm, 0.1, kept) : undefined;
    });
    expect(other).toBe(late);
  });

  test("compares the masks of slow and of fast gates after recovery, or says that they are the same", () => {
    const by =
      (differs: boolean): Rule =>
      (arm, seed) => {
        const isOther = differs && arm.includes("0.03") && seed === 1;
        if (isOfMask(arm)) return mask(arm, 0.1, isOther ? [1, 2] : [0, 2]);
        const higher = differs && arm !== "learned" ? [4, 5, 6][seed]! : 0;
        return resultOf(20 + shared(seed) + higher, { kept: isOther ? [1, 2] : [0, 2] });
      };
    expect(answer("search-length", by(true))).toMatch(
      /After recovery FD-digits of gate rate 0\.001 is .*, 5\.0 ± 0\.6 lower than gate rate 0\.03; 3 paired seeds\.$/,
    );
    expect(answer("search-length", by(false))).toMatch(
      /Slow and fast gates keep the same blocks with each of 3 seeds: FD-digits after recovery is 30\.0 ± 5\.8 for both\.$/,
    );
  });

  test("says from which length on all searches keep the same blocks, once all are there", () => {
    const by =
      (odd: number): Rule =>
      (arm, seed) =>
        isOfMask(arm) ? mask(arm, 0.1, steps(arm) === odd && seed === 2 ? [1, 2] : [0, 2]) : undefined;
    expect(answer("search-length", by(300))).toMatch(
      / The 18 searches of 600 steps or more, of every rate and seed, keep the same blocks\.$/,
    );
    expect(answer("search-length", by(1200))).not.toContain("keep the same blocks");
    const without = (arm: string, seed: number) => (steps(arm) === 150 && seed === 0 ? undefined : by(300)(arm, seed));
    expect(answer("search-length", without)).not.toContain("keep the same blocks");
  });
});
