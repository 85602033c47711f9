import { describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import type { NDArray } from "../../../src/array/ndarray.ts";
import { timeGrid } from "../../../src/diffusion/flow/ode.ts";
import { interpolantAt } from "../../../src/diffusion/flow/path.ts";
import {
  diffusionAt,
  diffusionForms,
  lastSteps,
  type SdeSettings,
  sdeDefaults,
  sdeEvaluations,
  sdeMethods,
  sdeTimes,
} from "../../../src/diffusion/flow/sde.ts";
import { type FlowProcess, type PathName, pathNames } from "../../../src/diffusion/process.ts";
import { fieldAt, gaussianField, mean, moments, noise, std } from "./gaussian-data.ts";
import { integrateFixed, integrateSde } from "./on-host.ts";
import "../../golden/matchers.ts";

const processOf = (path: PathName): FlowProcess => ({ path, prediction: "velocity" });

async function sample(path: PathName, changes: Partial<SdeSettings>, shape: readonly [number, number] = [2, 1024]) {
  let evaluations = 0;
  const evaluate = (x: NDArray, t: NDArray) => {
    evaluations++;
    return gaussianField(path, x, t);
  };
  const settings = { ...sdeDefaults, points: 150, ...changes };
  const states: NDArray[] = [];
  const run = integrateSde(
    ...([evaluate, noise(0, shape), processOf(path), settings] as const),
    (k) => noise(k + 1, shape),
    (x) => states.push(x),
  );
  const x = await run;
  return { x, states, evaluations, settings };
}

describe("an SDE of a flow", () => {
  const cases = [
    ...diffusionForms.flatMap((form) => sdeMethods.map((method) => ["linear", form, method] as const)),
    ...pathNames.map((path) => [path, "sigma", "euler"] as const),
    ["gvp", "sbdm", "euler"] as const,
    ["vp", "sbdm", "heun"] as const,
  ];
  test.each(cases)("on the path %s with the form %s by %s ends at the data", async (path, form, method) => {
    // The last step "mean" shrinks the deviation by w · size / std², which is much where w is large.
    const { x } = await sample(path, { form, method, lastStep: "euler" });
    const found = moments(x);
    // 2,048 numbers: the standard error is 0.011 for the mean and 0.008 for the deviation.
    expect(Math.abs(found.mean - mean)).toBeLessThan(0.04);
    expect(Math.abs(found.std - std)).toBeLessThan(0.04);
  });

  test.each(lastSteps)("with the last step %s counts its evaluations and states", async (lastStep) => {
    for (const method of sdeMethods) {
      const { evaluations, states, settings, x } = await sample("linear", { method, lastStep, points: 5 }, [2, 3]);
      expect(evaluations).toBe(sdeEvaluations(settings));
      expect(states).toHaveLength(lastStep === "none" ? 4 : 5);
      expect(states.at(-1)).toEqual(x);
    }
  });

  test("ends with Tweedie's formula at the expected data", async () => {
    const { x, states } = await sample("gvp", { lastStep: "tweedie", points: 6 }, [2, 4]);
    const before = states.at(-2)!.data as Float32Array;
    before.forEach((value, i) => {
      expect(x.data[i]).toBeCloseTo(fieldAt("gvp", value, Math.fround(0.96)).data, 4);
    });
  });

  test("with almost no diffusion is the flow itself", async () => {
    const { states } = await sample("linear", { form: "constant", norm: 1e-14, points: 9 }, [2, 4]);
    const velocity = async (x: NDArray, t: NDArray) => (await gaussianField("linear", x, t)).velocity;
    const flow = await integrateFixed(velocity, noise(0, [2, 4]), timeGrid([0, 0.96], 9), "euler");
    expect(states.at(-2)).toMatchGolden(flow, { relative: 1e-5 });
  });

  test("asks for the noise of each step once, in order", async () => {
    const asked: number[] = [];
    const settings: SdeSettings = { ...sdeDefaults, method: "heun", points: 5 };
    const evaluate = (x: NDArray, t: NDArray) => gaussianField("linear", x, t);
    await integrateSde(evaluate, noise(0, [2, 3]), processOf("linear"), settings, (k) => {
      asked.push(k);
      return noise(k + 1, [2, 3]);
    });
    expect(asked).toEqual([0, 1, 2, 3]);
  });

  test.each([
    ["sbdm at t = 0", { form: "sbdm" }, 0],
    ["Heun's method at t = 1", { method: "heun", lastStep: "none" }, 0],
    ["a norm of 0", { norm: 0 }, undefined],
    ["a last step of size 0", { lastStepSize: 0 }, undefined],
    ["one point", { points: 1 }, undefined],
  ] as const)("refuses %s before it evaluates anything", async (_, changes, sampleEpsilon) => {
    let evaluations = 0;
    const evaluate = (x: NDArray, t: NDArray) => {
      evaluations++;
      return gaussianField("linear", x, t);
    };
    const process: FlowProcess = { ...processOf("linear"), sampleEpsilon };
    const settings: SdeSettings = { ...sdeDefaults, points: 5, ...changes };
    const run = integrateSde(evaluate, noise(0, [2, 3]), process, settings, () => noise(1, [2, 3]));
    await expect(run).rejects.toThrow(InputError);
    expect(evaluations).toBe(0);
  });

  test.each(diffusionForms)("with the form %s stays finite at every time where it is evaluated", (form) => {
    for (const path of pathNames) {
      for (const method of sdeMethods) {
        for (const lastStep of lastSteps) {
          const times = sdeTimes(processOf(path), { ...sdeDefaults, form, method, lastStep, points: 12 });
          const evaluated = method === "heun" || lastStep !== "none" ? times : times.subarray(0, -1);
          for (const t of evaluated) {
            expect(Number.isFinite(diffusionAt(form, path, t, 1)), `${path} ${method} ${lastStep} ${t}`).toBe(true);
            expect(interpolantAt(path, t).sigma).toBeGreaterThan(0);
          }
        }
      }
    }
  });
});

test("the diffusion forms have the original's formulas", () => {
  const t = 0.3;
  expect(diffusionAt("constant", "linear", t, 2)).toBe(2);
  expect(diffusionAt("sbdm", "linear", t, 2)).toBeCloseTo((2 * (1 - t)) / t, 12);
  expect(diffusionAt("sbdm", "gvp", t, 1)).toBeCloseTo(Math.PI / 2 / Math.tan((t * Math.PI) / 2), 12);
  expect(diffusionAt("sbdm", "vp", t, 1)).toBeCloseTo((0.1 + (1 - t) * 19.9) / 2, 12);
  expect(diffusionAt("sigma", "gvp", t, 2)).toBeCloseTo(2 * Math.cos((t * Math.PI) / 2), 12);
  expect(diffusionAt("linear", "vp", t, 2)).toBeCloseTo(1.4, 12);
  expect(diffusionAt("decreasing", "linear", t, 0.5)).toBeCloseTo(0.25 * (0.5 * Math.cos(0.3 * Math.PI) + 1) ** 2, 12);
  expect(diffusionAt("increasing-decreasing", "linear", t, 2)).toBeCloseTo(2 * Math.sin(0.3 * Math.PI) ** 2, 12);
});
