/** DPM-Solver++(2M) against diffusers' trajectories, and against data whose probability flow is known. */

import { describe, expect, it } from "vitest";
import { float32, int32, type NDArray, zeros } from "../../src/array/ndarray.ts";
import { normals } from "../../src/array/random.ts";
import { at } from "../../src/diffusion/gaussian.ts";
import type { Predictor } from "../../src/diffusion/predictor.ts";
import { multistep, reverseStep, solverTables } from "../../src/diffusion/samplers.ts";
import { namedSchedule, respace, type Schedule, type ScheduleName } from "../../src/diffusion/schedule.ts";
import { runAndRead } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { add, cast, input, mul, sub, tanh, unsqueeze } from "../../src/graph/build.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { atLeastOne, loadFixture } from "../golden/fixture.ts";
import "../golden/matchers.ts";

type StepKind = "dpm++2m" | "ddim";

const engine = cpuEngine({ threads: 1 });

/** The state after every step, from `start`. */
async function trajectory(
  model: Predictor,
  schedule: Schedule,
  start: NDArray,
  { kind = "dpm++2m", clip = false }: { kind?: StepKind; clip?: boolean } = {},
): Promise<NDArray[]> {
  const rows = start.shape[0]!;
  const inputs = {
    x: input("x", start.shape),
    index: input("index", [rows], "int32"),
    y: input("y", [rows], "int32"),
  };
  const session = await engine.compile({
    outputs:
      kind === "ddim"
        ? { ...reverseStep(model, schedule, { kind, eta: 0, clip }, { ...inputs, noise: input("noise", start.shape) }) }
        : { ...multistep(model, schedule, clip, { ...inputs, previous: input("previous", start.shape) }) },
  });
  const states: NDArray[] = [];
  let previous: NDArray = zeros("float32", start.shape);
  for (let index = schedule.betas.length - 1; index >= 0; index--) {
    const x = states.at(-1) ?? start;
    const feeds = { x, previous, index: int32(new Int32Array(rows).fill(index)), y: int32(new Int32Array(rows)) };
    const { sample, xStart } = await runAndRead(session, feeds);
    states.push(sample!);
    previous = xStart!;
  }
  await session.release();
  return states;
}

const columns = (t: Tensor): Tensor => unsqueeze(unsqueeze(unsqueeze(t, 1), 1), 1);

describe("DPM-Solver++(2M) and diffusers' scheduler", () => {
  interface Settings {
    readonly steps: number;
    readonly runs: Readonly<Record<string, { readonly schedule: ScheduleName; readonly respacing: string }>>;
  }
  const { settings, tensor } = loadFixture<Settings>("dpm-solver");

  /** `epsilon` of the script that made the fixture. */
  const toy: Predictor = ({ x, t }) => {
    const share = columns(mul(t, 1 / settings.steps));
    return add(mul(tanh(add(mul(x, 0.7), share)), sub(0.9, mul(share, 0.3))), mul(x, 0.1));
  };

  it.each(atLeastOne(Object.entries(settings.runs), "runs"))("%s steps give the same states", async (name, run) => {
    const schedule = respace(namedSchedule(run.schedule, settings.steps), run.respacing);
    expect([...schedule.timesteps].reverse()).toEqual([...tensor(`${name}/timesteps`).data]);
    const expected = tensor(`${name}/trajectory`);
    const states = await trajectory(toy, schedule, tensor("x_T"));
    expect(states).toHaveLength(expected.shape[0]!);
    states.forEach((state, k) => {
      expect(state, `state ${k}`).toMatchGolden(expected.rows(k, k + 1).reshape(state.shape), { relative: 2e-5 });
    });
  });
});

describe("DPM-Solver++(2M) on Gaussian data", () => {
  const [mean, std] = [0.7, 0.5];
  const start = float32(normals({ seed: 3, purpose: "start", step: 0, index: 0 }, 64), [2, 2, 4, 4]);

  /** The exact noise E[ε | x_t] where every number is N(mean, std²): σ (x − α mean) / (α² std² + σ²). */
  const exact = ({ alphasCumprod, timesteps }: Schedule): Predictor => {
    const places = new Map(Array.from(timesteps, (t, i) => [t, i]));
    const ofTimestep = (value: (a: number) => number) =>
      Float64Array.from({ length: 1000 }, (_, t) => value(alphasCumprod[places.get(t) ?? 0]!));
    return ({ x, t }) => {
      const index = cast(t, "int32");
      const centred = sub(
        x,
        at(
          ofTimestep((a) => Math.sqrt(a) * mean),
          index,
        ),
      );
      return mul(
        at(
          ofTimestep((a) => Math.sqrt(1 - a) / (a * std ** 2 + 1 - a)),
          index,
        ),
        centred,
      );
    };
  };

  /** The probability flow from the first state to the one at timestep 0: it keeps the number of standard deviations. */
  function flowed({ alphasCumprod }: Schedule): Float64Array {
    const spread = (a: number) => Math.sqrt(a * std ** 2 + 1 - a);
    const [first, last] = [alphasCumprod.at(-1)!, alphasCumprod[0]!];
    return Float64Array.from(start.data as Float32Array, (x) => {
      return Math.sqrt(last) * mean + ((x - Math.sqrt(first) * mean) / spread(first)) * spread(last);
    });
  }

  /** Mean absolute error at timestep 0, before the last step. */
  async function errorOf(kind: StepKind, steps: number): Promise<number> {
    const schedule = respace(namedSchedule("squaredcos_cap_v2", 1000), `${steps}`);
    const state = (await trajectory(exact(schedule), schedule, start, { kind })).at(-2)!;
    const wanted = flowed(schedule);
    return (state.data as Float32Array).reduce((sum, x, i) => sum + Math.abs(x - wanted[i]!) / wanted.length, 0);
  }

  it("is of second order where DDIM is of first", async () => {
    const errors = { "dpm++2m": [] as number[], ddim: [] as number[] };
    for (const steps of [20, 40, 80]) {
      for (const kind of ["dpm++2m", "ddim"] as const) errors[kind].push(await errorOf(kind, steps));
    }
    const falls = (of: readonly number[]) => [of[0]! / of[1]!, of[1]! / of[2]!];
    for (const fall of falls(errors["dpm++2m"])) expect(fall).toBeGreaterThan(3);
    for (const fall of falls(errors.ddim)) expect(fall).toBeLessThan(2.5);
    expect(errors["dpm++2m"][2]).toBeLessThan(errors.ddim[2]! / 2);
  });
});

describe("one step", () => {
  const schedule = respace(namedSchedule("linear", 1000), "5");

  it("is of first order where no prediction is behind it, and at the end, which is x_0 itself", async () => {
    const { state, data, correction } = solverTables(schedule);
    expect([correction[0], correction.at(-1)]).toEqual([0, 0]);
    expect([...correction.subarray(1, -1)].every((c) => c > 0)).toBe(true);
    expect([state[0], data[0]]).toEqual([0, 1]);
  });

  it("clips x_0 for pixels only", async () => {
    const start = float32(normals({ seed: 1, purpose: "start", step: 0, index: 0 }, 32), [2, 1, 4, 4]);
    const noise: Predictor = ({ x }) => mul(x, -0.5);
    const ends = async (clip: boolean) =>
      (await trajectory(noise, schedule, start, { clip })).at(-1)!.data as Float32Array;
    expect(Math.max(...(await ends(true)).map(Math.abs))).toBeLessThanOrEqual(1);
    expect(Math.max(...(await ends(false)).map(Math.abs))).toBeGreaterThan(1);
  });
});
