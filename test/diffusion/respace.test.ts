import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { respace, spacedTimesteps } from "../../src/diffusion/respace.ts";
import { namedSchedule } from "../../src/diffusion/schedule.ts";

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
