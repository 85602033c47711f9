/** Learning rates and averaging decays, step by step. */
import { describe, expect, it } from "vitest";
import { emaDecayAt, type LearningRate, learningRateAt } from "../../src/training/rates.ts";

const rate: LearningRate = { base: 2e-4, kind: "constant", final: 1e-4, warmupSteps: 0 };

describe("the learning rate", () => {
  it("stays at its base if constant", () => {
    expect([0, 1, 50, 99].map((k) => learningRateAt(rate, k, 100))).toEqual([2e-4, 2e-4, 2e-4, 2e-4]);
  });

  it("follows PyTorch's CosineAnnealingLR from base to final", () => {
    const at = (k: number) => learningRateAt({ ...rate, kind: "cosine" }, k, 8);
    expect(at(0)).toBeCloseTo(2e-4, 12);
    expect(at(4)).toBeCloseTo(1.5e-4, 12);
    // torch.optim.lr_scheduler.CosineAnnealingLR(T_max=8, eta_min=1e-4) after 2 and 7 steps
    expect(at(2)).toBeCloseTo(1.8535533905932738e-4, 12);
    expect(at(7)).toBeCloseTo(1.0380602337443568e-4, 12);
    expect(at(8)).toBeCloseTo(1e-4, 12);
    for (let k = 1; k <= 8; k++) expect(at(k)).toBeLessThan(at(k - 1));
  });

  it("rises linearly over the warm-up steps, never from zero, and then equals the schedule", () => {
    const warm: LearningRate = { ...rate, warmupSteps: 3 };
    expect([0, 1, 2, 3, 4].map((k) => learningRateAt(warm, k, 100) / 2e-4)).toEqual([0.25, 0.5, 0.75, 1, 1]);
    const cosine = { ...warm, kind: "cosine" } as const;
    expect(learningRateAt(cosine, 5, 10)).toBe(learningRateAt({ ...cosine, warmupSteps: 0 }, 5, 10));
    expect(learningRateAt(cosine, 0, 10)).toBeCloseTo(0.25 * 2e-4, 12);
  });
});

describe("the decay of the average", () => {
  it("is min(decay, (1 + k) / (10 + k)) with warm-up", () => {
    expect([0, 1, 10, 90].map((k) => emaDecayAt(0.9999, k))).toEqual([0.1, 2 / 11, 0.55, 0.91]);
    expect(emaDecayAt(0.9, 1000)).toBe(0.9);
    expect(emaDecayAt(0.9999, 1e6)).toBe(0.9999);
  });

  it("does not depend on the planned length, and is plain without warm-up", () => {
    expect([0, 1, 1000].map((k) => emaDecayAt(0.9999, k, false))).toEqual([0.9999, 0.9999, 0.9999]);
  });

  it("leaves almost nothing of the start after 300 updates, where the plain one leaves 97%", () => {
    const rest = (warmup: boolean) =>
      Array.from({ length: 300 }, (_, k) => emaDecayAt(0.9999, k, warmup)).reduce((a, b) => a * b, 1);
    expect(rest(true)).toBeLessThan(1e-6);
    expect(rest(false)).toBeCloseTo(0.97, 2);
  });
});
