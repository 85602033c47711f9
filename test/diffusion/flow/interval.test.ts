import { describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { odeInterval, sdeInterval, timesIn, trainingInterval } from "../../../src/diffusion/flow/interval.ts";
import type { FlowProcess } from "../../../src/diffusion/flow/process.ts";

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
