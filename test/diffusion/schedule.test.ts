/** Noise schedules and respacing. */
import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import {
  cosineBetas,
  linearBetas,
  namedSchedule,
  respace,
  scheduleFromBetas,
  spacedTimesteps,
} from "../../src/diffusion/schedule.ts";

describe("a noise schedule", () => {
  test.each(["linear", "squaredcos_cap_v2"] as const)("%s goes from almost no noise to almost only noise", (name) => {
    const { alphasCumprod } = namedSchedule(name, 1000);
    expect(alphasCumprod[0]).toBeGreaterThan(0.999);
    expect(alphasCumprod[999]).toBeLessThan(1e-4);
    for (let i = 1; i < 1000; i++) expect(alphasCumprod[i]).toBeLessThan(alphasCumprod[i - 1]!);
  });

  test("scales a linear beta with the number of steps, ends included", () => {
    const betas = linearBetas(500);
    expect(betas[0]).toBe(2e-4);
    expect(betas[499]).toBe(0.04);
    expect(betas).toHaveLength(500);
  });

  test("caps a cosine beta", () => {
    expect(cosineBetas(10, 0.5).at(-1)).toBe(0.5);
    expect(cosineBetas(10).at(-1)).toBe(0.999);
  });

  test("has the posterior of Bayes' rule: variances add up and the mean of a noiseless x stays on its path", () => {
    const s = namedSchedule("linear", 100);
    for (const i of [1, 17, 99]) {
      const precision = (1 - s.betas[i]!) / s.betas[i]! + 1 / (1 - s.alphasCumprodPrev[i]!);
      expect(s.posteriorVariance[i]).toBeCloseTo(1 / precision, 12);
      const mean = s.posteriorMeanCoef1[i]! + s.posteriorMeanCoef2[i]! * s.sqrtAlphasCumprod[i]!;
      expect(mean).toBeCloseTo(Math.sqrt(s.alphasCumprodPrev[i]!), 12);
    }
  });

  test("borrows the second step's posterior variance for the log at the first, where it is 0", () => {
    const s = namedSchedule("linear", 100);
    expect(s.posteriorVariance[0]).toBe(0);
    expect(s.posteriorLogVarianceClipped[0]).toBe(s.posteriorLogVarianceClipped[1]);
    expect(s.posteriorLogVarianceClipped[1]).toBe(Math.log(s.posteriorVariance[1]!));
  });

  test("inverts q_sample: x_0 from x_t and the noise", () => {
    const s = namedSchedule("squaredcos_cap_v2", 50);
    const [x0, noise] = [0.7, -1.3];
    for (let i = 0; i < 50; i++) {
      const xt = s.sqrtAlphasCumprod[i]! * x0 + s.sqrtOneMinusAlphasCumprod[i]! * noise;
      expect(s.sqrtRecipAlphasCumprod[i]! * xt - s.sqrtRecipm1AlphasCumprod[i]! * noise).toBeCloseTo(x0, 9);
    }
  });

  test("of one step is finite everywhere", () => {
    const s = scheduleFromBetas(Float64Array.of(0.1));
    for (const table of Object.values(s)) expect([...table].every(Number.isFinite)).toBe(true);
    expect(s.alphasCumprodPrev).toEqual(Float64Array.of(1));
    expect(s.alphasCumprodNext).toEqual(Float64Array.of(0));
    expect(s.posteriorLogVarianceClipped).toEqual(Float64Array.of(Math.log(0.1)));
  });

  test("is refused with too few steps for a linear beta, no step, or a beta out of range", () => {
    expect(() => namedSchedule("linear", 10)).toThrow(/step 5 of 10 has 1\.1.*use more steps/);
    expect(() => namedSchedule("squaredcos_cap_v2", 0)).toThrow(InputError);
    expect(() => namedSchedule("linear", 2.5)).toThrow(InputError);
    expect(() => scheduleFromBetas(Float64Array.of(0.1, Number.NaN))).toThrow(/step 1 of 2 has NaN/);
    expect(() => scheduleFromBetas(Float64Array.of(0.1, 0.2), Int32Array.of(0))).toThrow(/2 betas .* 1 timesteps/);
  });
});

describe("spaced timesteps", () => {
  test("run from the first to the last timestep", () => {
    expect([...spacedTimesteps(1000, "4")]).toEqual([0, 333, 666, 999]);
    expect([...spacedTimesteps(5, "5")]).toEqual([0, 1, 2, 3, 4]);
    expect([...spacedTimesteps(1000, "1")]).toEqual([0]);
  });

  test("round half to even, as Python does", () => {
    expect([...spacedTimesteps(6, "3")]).toEqual([0, 2, 5]); // stride 2.5
    expect([...spacedTimesteps(8, "3")]).toEqual([0, 4, 7]); // stride 3.5
  });

  test("take each section's count from its own part, the first parts one longer", () => {
    expect([...spacedTimesteps(10, "2,2,1")]).toEqual([0, 3, 4, 6, 7]);
    expect([...spacedTimesteps(10, "0, 2")]).toEqual([5, 9]);
  });

  test("with ddim have one whole stride and may stop before the last timestep", () => {
    expect([...spacedTimesteps(100, "ddim7")]).toEqual([0, 15, 30, 45, 60, 75, 90]);
    expect(spacedTimesteps(1000, "ddim1000")).toHaveLength(1000);
  });

  test.each(["", "ten", "10,,5", "-3", "2.5", "ddim", "ddim10,5", "0"])("refuse the spec %j", (spec) => {
    expect(() => spacedTimesteps(100, spec)).toThrow(InputError);
  });

  test("name the section and the stride that cannot be had", () => {
    expect(() => spacedTimesteps(100, "10,60")).toThrow(/section 2 has 50 of 100 timesteps, cannot take 60/);
    expect(() => spacedTimesteps(1000, "ddim300")).toThrow(/no whole stride takes exactly 300 of 1000/);
  });
});

describe("a respaced schedule", () => {
  const full = namedSchedule("linear", 1000);

  test("has the full schedule's cumulative alphas at the kept timesteps", () => {
    const spaced = respace(full, "10,15,20");
    expect(spaced.timesteps).toEqual(spacedTimesteps(1000, "10,15,20"));
    spaced.timesteps.forEach((step, i) => {
      expect(spaced.alphasCumprod[i]).toBeCloseTo(full.alphasCumprod[step]!, 12);
    });
  });

  test("respaced again still names timesteps of the original process", () => {
    const twice = respace(respace(full, "100"), "10");
    for (const [i, step] of twice.timesteps.entries()) {
      expect(twice.alphasCumprod[i]).toBeCloseTo(full.alphasCumprod[step]!, 12);
    }
    expect(twice.timesteps.at(-1)).toBe(999);
  });
});
