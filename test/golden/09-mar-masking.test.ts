/** The mask ratio, the schedule of mask lengths and the noise schedules of MAR against the original. */
import { describe, expect, it } from "vitest";
import { NDArray } from "../../src/array/ndarray.ts";
import {
  guidanceScaleAt,
  maskedCount,
  maskLengths,
  maskRatioAt,
  maskRatioDefaults,
} from "../../src/diffusion/masking/masks.ts";
import { expected, sampleSchedule, settings, tensor, trainSchedule } from "./09-mar-fixture.ts";
import { atLeastOne } from "./fixture.ts";
import "./matchers.ts";

describe("MAR masking", () => {
  it("the inverse distribution of the mask ratio agrees with SciPy's", () => {
    const { min, loc, scale } = expected.mask_rate_params;
    expect(maskRatioDefaults).toEqual({ min, mean: loc, deviation: scale });
    const ratios = Array.from(tensor("mask_rate/u").data as Float64Array, (u) => maskRatioAt(u));
    expect(ratios.length).toBeGreaterThan(0);
    expect(ratios).toMatchGolden(tensor("mask_rate/ppf"), { relative: 1e-12 });
  });

  it("the number of masked tokens is rounded up", () => {
    expect(maskedCount(settings.seq_len, expected.mask_rate)).toBe(expected.num_masked);
  });

  it.each(atLeastOne(Object.entries(expected.mask_len_schedule), "mask length schedules"))("%s", (name, lengths) => {
    const [, tokens, iterations] = /^seq(\d+)_iter(\d+)$/.exec(name)!;
    expect(maskLengths(Number(tokens), Number(iterations))).toEqual(lengths);
  });

  it.each(
    atLeastOne(Object.entries(settings.sample_runs), "runs"),
  )("%s: the guidance scale of each iteration", (_, run) => {
    const scales = maskLengths(settings.seq_len, run.num_iter).map((masked) =>
      guidanceScaleAt(run.cfg, run.cfg_schedule, settings.seq_len, masked),
    );
    const original = new NDArray("float64", [run.cfg_iter.length], Float64Array.from(run.cfg_iter));
    expect(Float64Array.from(scales)).toMatchGolden(original, { relative: 1e-6 }); // which it computes in float32
  });

  it("the cosine schedule and its respacing", () => {
    expect(trainSchedule.betas).toMatchGolden(tensor("diff/cosine_betas"), { relative: 1e-12 });
    expect(sampleSchedule.betas).toMatchGolden(tensor("diff/gen_betas"), { relative: 1e-12 });
    expect([...sampleSchedule.timesteps]).toEqual([...(tensor("diff/gen_timesteps").data as Int32Array)]);
  });
});
