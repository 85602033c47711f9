/** Parity of noising, posterior and marginal, as graphs, with the original `diffusion/` package: the `q…/` tensors. */
import { describe, expect, it } from "vitest";
import { int32, type NDArray } from "../../src/array/ndarray.ts";
import { at, qPosterior, qSample } from "../../src/diffusion/gaussian.ts";
import { linearBetas, respace, type Schedule, scheduleFromBetas } from "../../src/diffusion/schedule.ts";
import { broadcast, input, mul } from "../../src/graph/build.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { runOnce } from "./dit-fixture.ts";
import { atLeastOne, loadFixture } from "./fixture.ts";
import "./matchers.ts";

interface Settings {
  readonly steps: number;
  readonly beta_start: number;
  readonly beta_end: number;
}

const { settings, tensor, names } = loadFixture<Settings>("02_diffusion_schedule");
const full = scheduleFromBetas(linearBetas(settings.steps, settings.beta_start, settings.beta_end));

/** What upstream calls each value → the graph that computes it. The posterior is that of the case's own `x_t`. */
const functions: Readonly<
  Record<string, (schedule: Schedule, x: Record<"xStart" | "noise" | "xT" | "index", Tensor>) => Tensor>
> = {
  x_t: (schedule, { xStart, noise, index }) => qSample(schedule, xStart, noise, index),
  mean: (schedule, { xStart, index }) => mul(at(schedule.sqrtAlphasCumprod, index), xStart),
  variance: (schedule, { index }) =>
    at(
      schedule.alphasCumprod.map((a) => 1 - a),
      index,
    ),
  log_variance: (schedule, { index }) => at(schedule.logOneMinusAlphasCumprod, index),
  posterior_mean: (schedule, { xStart, xT, index }) => qPosterior(schedule, xStart, xT, index).mean,
  posterior_variance: (schedule, { index }) => at(schedule.posteriorVariance, index),
  posterior_log_variance: (schedule, { xStart, xT, index }) => qPosterior(schedule, xStart, xT, index).logVariance,
};

const fed = ["x_start", "noise", "t"];

/** `q` is the full process, `q50` the one respaced to 50 steps. */
const cases = atLeastOne(
  names.flatMap((name) => /^(q[\d,]*|qddim\d+)\/t$/.exec(name)?.[1] ?? []),
  "cases of the forward process",
);

/** The tensor of a case; a respaced case noises the images of `q`. */
const ofCase = (name: string, key: string): NDArray =>
  tensor(names.includes(`${name}/${key}`) ? `${name}/${key}` : `q/${key}`);

describe.each(cases)("the forward process of %s equals upstream's", (name) => {
  const schedule = name === "q" ? full : respace(full, name.slice(1));
  const keys = atLeastOne(
    names.flatMap((key) => (key.startsWith(`${name}/`) ? [key.slice(name.length + 1)] : [])),
    `tensors of ${name}`,
  );

  it.each(
    atLeastOne(
      keys.filter((key) => !fed.includes(key)),
      `results of ${name}`,
    ),
  )("%s", async (key) => {
    const compute = functions[key];
    if (!compute) throw new Error(`no graph function computes ${name}/${key}`);
    const arrays = {
      xStart: ofCase(name, "x_start"),
      noise: ofCase(name, "noise"),
      xT: ofCase(name, "x_t"),
      index: ofCase(name, "t"),
    };
    const { shape } = arrays.xStart;
    const image = (inputName: string) => input(inputName, shape);
    const index = input("index", arrays.index.shape, "int32");
    const x = { xStart: image("xStart"), noise: image("noise"), xT: image("xT"), index };
    const y = broadcast(compute(schedule, x), shape);
    const results = await runOnce({ outputs: { y } }, arrays);
    expect(results.y).toMatchGolden(tensor(`${name}/${key}`), { relative: 1e-5 });
  });
});

it("a timestep next to the right one does not pass", async () => {
  const [name] = cases as [string, ...string[]];
  const index = input("index", tensor(`${name}/t`).shape, "int32");
  const x = { xStart: input("xStart", tensor("q/x_start").shape), noise: input("noise", tensor("q/noise").shape) };
  const late = [...ofCase(name, "t").data].map((t) => (Number(t) > 0 ? Number(t) - 1 : 1));
  const feeds = { xStart: ofCase(name, "x_start"), noise: ofCase(name, "noise"), index: int32(late) };
  const schedule = name === "q" ? full : respace(full, name.slice(1));
  const { y } = await runOnce({ outputs: { y: qSample(schedule, x.xStart, x.noise, index) } }, feeds);
  expect(y).not.toMatchGolden(tensor(`${name}/x_t`), { relative: 1e-5 });
});
