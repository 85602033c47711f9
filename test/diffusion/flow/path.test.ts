/** Paths from noise to data, and the times they are trained and sampled at. */
import { describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { float32 } from "../../../src/array/ndarray.ts";
import {
  determinant,
  interpolant,
  interpolantAt,
  numbers,
  odeInterval,
  timesIn,
  trainingInterval,
} from "../../../src/diffusion/flow/path.ts";
import { sdeInterval } from "../../../src/diffusion/flow/sde.ts";
import { type FlowProcess, pathNames } from "../../../src/diffusion/process.ts";
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

const velocity: FlowProcess = { path: "linear", prediction: "velocity" };
const noise: FlowProcess = { path: "gvp", prediction: "noise" };
const vp: FlowProcess = { path: "vp", prediction: "velocity" };

describe("the interval of a flow", () => {
  test("is whole for velocities, and stays away from both ends for noise and score", () => {
    expect(trainingInterval(velocity)).toEqual([0, 1]);
    expect(odeInterval({ ...velocity, path: "gvp" })).toEqual([0, 1]);
    expect(trainingInterval(noise)).toEqual([1e-3, 1 - 1e-3]);
    expect(odeInterval({ ...noise, prediction: "score" })).toEqual([1e-3, 1 - 1e-3]);
  });

  test("of vp ends before the data: closer in training than in sampling", () => {
    expect(trainingInterval(vp)).toEqual([0, 1 - 1e-5]);
    expect(odeInterval(vp)).toEqual([0, 1 - 1e-3]);
    expect(trainingInterval({ ...vp, prediction: "noise" })).toEqual([0, 1 - 1e-5]);
  });

  test("heeds the epsilons that are given, each on its own", () => {
    const given = { ...noise, trainEpsilon: 0.01, sampleEpsilon: 0.02 };
    expect(trainingInterval(given)).toEqual([0.01, 0.99]);
    expect(odeInterval(given)).toEqual([0.02, 0.98]);
    expect(odeInterval({ ...vp, sampleEpsilon: 0.02 })).toEqual([0, 0.98]);
    expect(odeInterval({ ...vp, trainEpsilon: 0.02 })).toEqual([0, 1 - 1e-3]);
  });

  test.each([0, -0.1, 0.5, Number.NaN])("refuses epsilon %s where it would be needed", (epsilon) => {
    expect(() => trainingInterval({ ...noise, trainEpsilon: epsilon })).toThrow(InputError);
    expect(() => odeInterval({ ...vp, sampleEpsilon: epsilon })).toThrow(/sampleEpsilon must be above 0/);
  });

  test("of an SDE leaves room for the last step", () => {
    const ends = { form: "sigma", method: "euler", lastStepSize: 0.04 } as const;
    expect(sdeInterval(velocity, ends)).toEqual([0, 0.96]);
    expect(sdeInterval(noise, ends)).toEqual([1e-3, 0.96]);
    expect(sdeInterval(vp, ends)).toEqual([0, 0.96]);
    expect(sdeInterval(velocity, { ...ends, lastStepSize: 0 })).toEqual([0, 1]);
    expect(sdeInterval(vp, { ...ends, lastStepSize: 0 })).toEqual([0, 1 - 1e-3]);
    expect(() => sdeInterval(velocity, { ...ends, lastStepSize: 0.7 })).toThrow(/last step's size/);
  });

  test("of an SDE stays away from t = 0 with sbdm and from t = 1 with Heun's method, where the original divides by zero", () => {
    expect(sdeInterval(velocity, { form: "sbdm", method: "euler", lastStepSize: 0.04 })).toEqual([1e-3, 0.96]);
    expect(sdeInterval(velocity, { form: "sigma", method: "heun", lastStepSize: 0 })).toEqual([0, 1 - 1e-3]);
    const none = { ...velocity, sampleEpsilon: 0 };
    expect(() => sdeInterval(none, { form: "sbdm", method: "euler", lastStepSize: 0.04 })).toThrow(InputError);
    expect(() => sdeInterval(none, { form: "sigma", method: "heun", lastStepSize: 0 })).toThrow(InputError);
    expect(sdeInterval(none, { form: "sigma", method: "heun", lastStepSize: 0.04 })).toEqual([0, 0.96]);
  });
});

test("uniform numbers become times of the interval", () => {
  expect(timesIn([0.25, 0.75], Float32Array.of(0, 0.5, 0.75))).toEqual(Float32Array.of(0.25, 0.5, 0.625));
});
