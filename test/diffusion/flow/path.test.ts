import { describe, expect, test } from "vitest";
import { float32 } from "../../../src/array/ndarray.ts";
import { numbers } from "../../../src/diffusion/flow/arithmetic.ts";
import { determinant, interpolant, interpolantAt } from "../../../src/diffusion/flow/path.ts";
import { pathNames } from "../../../src/diffusion/flow/process.ts";
import { input } from "../../../src/graph/build.ts";
import { runOnce } from "../../golden/dit-fixture.ts";
import { centralDifference } from "./central-difference.ts";
import "../../golden/matchers.ts";

describe.each(pathNames)("the path %s", (path) => {
  test("goes from noise to data", () => {
    const [start, end] = [interpolantAt(path, 0), interpolantAt(path, 1)];
    expect(start.alpha).toBeGreaterThanOrEqual(0);
    expect(start.alpha).toBeLessThan(path === "vp" ? 0.01 : 1e-12);
    expect(start.sigma).toBeCloseTo(1, path === "vp" ? 4 : 12);
    expect(end.alpha).toBeCloseTo(1, 12);
    expect(end.sigma).toBeCloseTo(0, 12);
  });

  test("has the derivatives that central differences give", () => {
    for (const t of [0.1, 0.37, 0.8, 0.95]) {
      const { dAlpha, dSigma } = interpolantAt(path, t);
      expect(dAlpha).toBeCloseTo(
        centralDifference((s) => interpolantAt(path, s).alpha, t),
        6,
      );
      expect(dSigma).toBeCloseTo(
        centralDifference((s) => interpolantAt(path, s).sigma, t),
        6,
      );
    }
  });

  test("has a positive determinant, so that x and its velocity say what data and noise are", () => {
    for (const t of [0, 0.2, 0.9, 0.999]) expect(determinant(interpolantAt(path, t), numbers)).toBeGreaterThan(0);
  });

  test("is the same in a graph as on the host, also where σ is small", async () => {
    const t = float32([0, 0.25, 0.5, 0.9, 0.999, 0.99999]);
    const results = await runOnce({ outputs: { ...interpolant(path, input("t", t.shape)) } }, { t });
    const onHost = Array.from(t.data, (time) => interpolantAt(path, time));
    for (const key of ["alpha", "dAlpha", "sigma", "dSigma"] as const) {
      expect(results[key]!.shape).toEqual(t.shape);
      onHost.forEach((at, i) => {
        expect(Math.abs((results[key]!.data[i] as number) - at[key]), `${key} at ${t.data[i]}`).toBeLessThanOrEqual(
          1e-5 * Math.abs(at[key]) + 1e-7,
        );
      });
    }
  });
});

test.each(["gvp", "vp"] as const)("%s preserves variance", (path) => {
  for (const t of [0, 0.3, 0.77, 1 - 1e-9]) {
    const { alpha, sigma } = interpolantAt(path, t);
    expect(alpha ** 2 + sigma ** 2).toBeCloseTo(1, 14);
  }
});

test("σ of vp keeps its digits where 1 − α² would lose them", () => {
  const s = 1e-12;
  expect(interpolantAt("vp", 1 - s).sigma / Math.sqrt(0.1 * s)).toBeCloseTo(1, 4);
});
