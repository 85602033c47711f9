/** Whole sampling trajectories against the original: DDPM and DDIM, guided or clipped. */

import { describe, expect, it } from "vitest";
import { int32, type NDArray } from "../../src/array/ndarray.ts";
import type { Predictor } from "../../src/diffusion/predictor.ts";
import { reverseStep, type Sampler } from "../../src/diffusion/samplers.ts";
import { namedSchedule, respace, type Schedule } from "../../src/diffusion/schedule.ts";
import { runAndRead } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { input } from "../../src/graph/build.ts";
import { dit } from "../../src/models/dit/dit.ts";
import { Params } from "../../src/nn/params.ts";
import { guided } from "./both-halves.ts";
import { baseWeights, type DiTSettings, fixtureConfig } from "./dit-fixture.ts";
import { atLeastOne, loadFixture } from "./fixture.ts";
import "./matchers.ts";

interface Run {
  readonly kind: "ddpm" | "ddim";
  readonly respacing: string;
  readonly eta: number | null;
}

interface Settings extends DiTSettings {
  readonly depth: number;
  readonly weights_file: string;
  readonly cfg_scale: number;
  readonly runs: Readonly<Record<string, Run>>;
  readonly ddpm_clip_nocfg?: string;
}

const { settings, tensor, names } = loadFixture<Settings>("06_sampling");
const config = fixtureConfig(settings, settings.depth);
const weights = baseWeights(settings.weights_file, settings.depth);
const p = new Params();
const plain: Predictor = (inputs) => dit(p, config, inputs);
// The fixtures of this family guide the first three channels, as the original always does.
const channels = 3;

/** The sampler's whole path, and x_0 as predicted at each step. */
async function trajectory(
  model: Predictor,
  schedule: Schedule,
  sampler: Sampler,
  name: string,
  y: NDArray,
  start: NDArray,
) {
  const rows = start.shape[0]!;
  const inputs = {
    x: input("x", start.shape),
    index: input("index", [rows], "int32"),
    y: input("y", [rows], "int32"),
    noise: input("noise", start.shape),
  };
  const { sample, xStart } = reverseStep(model, schedule, sampler, inputs);
  const session = await cpuEngine().compile({ outputs: { sample, xStart } });
  const noise = tensor(`${name}/noise`);
  const states = [start];
  const predicted: NDArray[] = [];
  const steps = schedule.betas.length;
  for (let k = 0; k < steps; k++) {
    const index = steps - 1 - k;
    const feeds = {
      ...weights,
      x: states[k]!,
      y,
      index: int32(new Int32Array(rows).fill(index)),
      noise: noise.rows(k, k + 1).reshape(start.shape),
    };
    const results = await runAndRead(session, feeds);
    states.push(results.sample!);
    predicted.push(results.xStart!);
  }
  return { states, predicted };
}

function expectSame(found: readonly NDArray[], key: string) {
  const expected = tensor(key);
  expect(found.length).toBe(expected.shape[0]);
  found.forEach((x, k) => {
    expect(x, `${key}[${k}]`).toMatchGolden(expected.rows(k, k + 1).reshape(x.shape), { relative: 1e-4 });
  });
}

describe("sampling", () => {
  it.each(
    atLeastOne(Object.entries(settings.runs), "runs"),
  )("%s follows the original's trajectory", async (name, run) => {
    const schedule = respace(namedSchedule("linear", 1000), run.respacing);
    expect([...schedule.timesteps]).toEqual([...(tensor(`${name}/timestep_map`).data as Int32Array)]);
    const start = tensor("x_T");
    const model: Predictor = (inputs) =>
      guided(plain, { ...inputs, scale: settings.cfg_scale, channels, half: start.shape[0]! / 2 });
    const sampler: Sampler =
      run.kind === "ddpm" ? { kind: "ddpm", clip: false } : { kind: "ddim", eta: run.eta ?? 0, clip: false };
    const { states, predicted } = await trajectory(model, schedule, sampler, name, tensor("y"), start);
    expectSame(states, `${name}/trajectory`);
    expectSame(predicted, `${name}/pred_xstart`);
  });

  const unguided = atLeastOne(
    names.filter((name) => name.endsWith("_nocfg/trajectory")),
    "unguided runs",
  );
  it.each(unguided)("%s: clipping x_0 without guidance follows the original", async (key) => {
    const name = key.split("/")[0]!;
    const expected = tensor(key);
    const rows = expected.shape[1]!;
    const schedule = respace(namedSchedule("linear", 1000), String(expected.shape[0]! - 1));
    const start = tensor("x_T").rows(0, rows);
    const { states } = await trajectory(
      plain,
      schedule,
      { kind: "ddpm", clip: true },
      name,
      tensor("y").rows(0, rows),
      start,
    );
    expectSame(states, key);
  });
});
