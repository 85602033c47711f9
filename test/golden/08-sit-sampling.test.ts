/** Whole trajectories of the flow samplers against the original: ODE and SDE, guided. */

import { describe, expect, it } from "vitest";
import type { NDArray } from "../../src/array/ndarray.ts";
import { type OdeMethod, timeGrid } from "../../src/diffusion/flow/ode.ts";
import { odeInterval } from "../../src/diffusion/flow/path.ts";
import { type FlowField, flowField } from "../../src/diffusion/flow/prediction.ts";
import {
  type DiffusionForm,
  type LastStep,
  type SdeMethod,
  type SdeSettings,
  sdeTimes,
} from "../../src/diffusion/flow/sde.ts";
import type { Predictor } from "../../src/diffusion/predictor.ts";
import type { FlowProcess } from "../../src/diffusion/process.ts";
import { runAndRead } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { input } from "../../src/graph/build.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { integrateFixed, integrateSde } from "../diffusion/flow/on-host.ts";
import { type FixtureModel, fixture, fixtureModel, type OdeRun, pathOf, type SdeRun } from "./08-sit-fixture.ts";
import { guided } from "./both-halves.ts";
import { atLeastOne } from "./fixture.ts";

const { settings, tensor, names } = fixture;
const start = tensor("sample/z");
const y = tensor("sample/y");
const rows = start.shape[0]!;
const withSigma = fixtureModel(true);
const guidance = { scale: settings.cfg_scale, channels: settings.cfg_channels, half: rows / 2 };
const guidedModel: Predictor = (io) => guided(withSigma.model, { ...io, ...guidance });

/** A graph of the model's field as a function of states and times on the host. */
async function evaluator<K extends keyof FlowField>(
  { weights }: Pick<FixtureModel, "weights">,
  model: Predictor,
  process: FlowProcess,
  wanted: readonly K[],
) {
  const io = { x: input("x", start.shape), t: input("t", [rows]), y: input("y", [rows], "int32") };
  const field = flowField(model, process, io);
  const outputs = Object.fromEntries(wanted.map((name) => [name, field[name]])) as Record<K, Tensor>;
  const session = await cpuEngine().compile({ outputs });
  return async (x: NDArray, t: NDArray) => (await runAndRead(session, { ...weights, x, t, y })) as Record<K, NDArray>;
}

function expectSame(found: readonly NDArray[], name: string) {
  const expected = tensor(`${name}/trajectory`);
  expect(found.length).toBe(expected.shape[0]);
  found.forEach((x, k) => {
    expect(x, `${name}[${k}]`).toMatchGolden(expected.rows(k, k + 1).reshape(x.shape), { relative: 1e-4 });
  });
}

function expectSameTimes(times: Float64Array, { t0, t1, num_steps }: OdeRun) {
  expect(times.length).toBe(num_steps);
  expect(times[0]).toBe(t0);
  expect(times.at(-1)).toBeCloseTo(t1, 12);
}

const odeMethods: Readonly<Record<string, OdeMethod>> = { euler: "euler", heun2: "heun" };
const runs = (kind: string) =>
  atLeastOne(
    Object.entries(settings.runs).filter(([name]) => name.startsWith(`${kind}/`)),
    `${kind} runs`,
  );

describe("sampling a flow", () => {
  it.each(runs("ode"))("%s follows the original's trajectory", async (name, run) => {
    const [, path, method] = name.split("/") as [string, string, string];
    const process: FlowProcess = { path: pathOf(path), prediction: "velocity" };
    const evaluate = await evaluator(withSigma, guidedModel, process, ["velocity"]);
    const times = timeGrid(odeInterval(process), run.num_steps);
    expectSameTimes(times, run);
    const states = [start];
    const velocity = async (x: NDArray, t: NDArray) => (await evaluate(x, t)).velocity;
    const last = await integrateFixed(velocity, start, times, odeMethods[method]!, (x) => states.push(x));
    expectSame(states, name);
    expect(last).toEqual(states.at(-1));
  });

  const unguided = atLeastOne(
    names.flatMap((name) => /^(ode\/nosigma_nocfg)\/trajectory$/.exec(name)?.[1] ?? []),
    "unguided runs",
  );
  it.each(unguided)("%s follows the original's trajectory", async (name) => {
    const plain = fixtureModel(false);
    const process: FlowProcess = { path: "linear", prediction: "velocity" };
    const evaluate = await evaluator(plain, plain.model, process, ["velocity"]);
    const times = timeGrid(odeInterval(process), tensor(`${name}/trajectory`).shape[0]!);
    const states = [start];
    const velocity = async (x: NDArray, t: NDArray) => (await evaluate(x, t)).velocity;
    await integrateFixed(velocity, start, times, "euler", (x) => states.push(x));
    expectSame(states, name);
  });

  it.each(runs("sde") as [string, SdeRun][])("%s follows the original's trajectory", async (name, run) => {
    const [, path, variant] = name.split("/") as [string, string, string];
    const process: FlowProcess = { path: pathOf(path), prediction: "velocity" };
    const sde: SdeSettings = {
      method: variant.split("_")[0]!.toLowerCase() as SdeMethod,
      form: run.form.toLowerCase() as DiffusionForm,
      norm: run.norm,
      lastStep: run.last_step.toLowerCase() as LastStep,
      lastStepSize: run.last_step_size,
      points: run.num_steps,
    };
    const evaluate = await evaluator(withSigma, guidedModel, process, ["velocity", "score"]);
    expectSameTimes(sdeTimes(process, sde), run);
    const noise = tensor(`${name}/noise`);
    const noiseOf = (k: number) => noise.rows(k, k + 1).reshape(start.shape);
    const states: NDArray[] = [];
    const last = await integrateSde(evaluate, start, process, sde, noiseOf, (x) => states.push(x));
    expectSame(states, name);
    expect(last).toEqual(states.at(-1));
  });

  it("runs every trajectory of the fixture", () => {
    const stored = names.flatMap((name) => /^((?:ode|sde)\/.*)\/trajectory$/.exec(name)?.[1] ?? []);
    expect(stored.sort()).toEqual([...Object.keys(settings.runs), ...unguided].sort());
  });
});
