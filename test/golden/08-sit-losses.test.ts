/** Flow losses on every path, with every prediction and weight, and their gradients, against the original. */
import { describe, expect, it } from "vitest";
import { float32, int32, type NDArray } from "../../src/array/ndarray.ts";
import { interpolant, interpolantAt, timesIn, trainingInterval } from "../../src/diffusion/flow/path.ts";
import { denoiseFlow, type FlowBatch, flowLossOf } from "../../src/diffusion/flow/prediction.ts";
import type { FlowProcess, PredictionName, WeightingName } from "../../src/diffusion/process.ts";
import { input, mul, sum } from "../../src/graph/build.ts";
import { gradient } from "../../src/graph/gradient.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { fixture, fixtureModel, pathOf } from "./08-sit-fixture.ts";
import { runOnce } from "./dit-fixture.ts";
import { atLeastOne } from "./fixture.ts";
import { groupFloor } from "./matchers.ts";

const { tensor, names, expected, settings } = fixture;
const x1 = tensor("train/x1");
const rows = x1.shape[0]!;
const { model, weights, p } = fixtureModel(true);

const batch: FlowBatch = {
  xStart: input("xStart", x1.shape),
  noise: input("noise", x1.shape),
  t: input("t", [rows]),
  y: input("y", [rows], "int32"),
};
const images = { xStart: x1, noise: tensor("train/x0") };

/** The times of a process, from the fixture's uniform numbers. */
const timesOf = (process: FlowProcess): NDArray =>
  float32(timesIn(trainingInterval(process), tensor("train/u").data as Float32Array));

const paths = atLeastOne(
  new Set(names.flatMap((name) => /^train\/(\w+)\/loss$/.exec(name)?.[1] ?? [])),
  "paths with a loss",
);

describe.each(paths)("training on the path %s", (name) => {
  const prefix = `train/${name}`;
  const velocity: FlowProcess = { path: pathOf(name), prediction: "velocity" };
  const t = timesOf(velocity);

  it("takes its times from the original's interval", () => {
    const [from, to] = trainingInterval(velocity);
    const interval = expected[`${prefix}/interval`] as [number, number];
    expect(from).toBe(interval[0]);
    expect(to).toBeCloseTo(interval[1], 12);
    expect(t).toMatchGolden(tensor(`${prefix}/t`), { relative: 1e-6 });
  });

  const factors = { alpha: "alpha", dAlpha: "d_alpha", sigma: "sigma", dSigma: "d_sigma" } as const;
  const factorNames = Object.keys(factors) as (keyof typeof factors)[];

  it("knows the path's factors and their derivatives, in a graph and on the host", async () => {
    const results = await runOnce({ outputs: { ...interpolant(velocity.path, batch.t) } }, { t });
    const onHost = Array.from(t.data as Float32Array, (time) => interpolantAt(velocity.path, time));
    for (const key of factorNames) {
      const golden = tensor(`${prefix}/${factors[key]}`);
      expect(results[key], key).toMatchGolden(golden, { relative: 1e-5 });
      expect(float32(onHost.map((at) => at[key])), `${key} on the host`).toMatchGolden(golden, { relative: 1e-5 });
    }
  });

  it("agrees in x_t, velocity, prediction, loss and all stored gradients", async () => {
    const denoised = denoiseFlow(model, velocity, batch);
    const { xT, target, output } = denoised;
    const loss = flowLossOf(denoised, velocity, batch);
    const gradients = atLeastOne(
      names.filter((key) => key.startsWith(`${prefix}/grad/`)),
      `gradients of ${name}`,
    );
    const outputs: Record<string, Tensor> = { loss, xt: xT, ut: target, pred: output };
    const wrt = gradients.map((key) => p.tensor(key.slice(`${prefix}/grad/`.length)));
    gradient(mul(sum(loss), 1 / rows), wrt).forEach((dw, i) => {
      outputs[gradients[i]!] = dw;
    });
    const feeds = { ...images, ...weights, y: tensor("train/y"), t };
    const results = await runOnce({ outputs }, feeds);
    expect(results.xt).toMatchGolden(tensor(`${prefix}/xt`), { relative: 1e-5 });
    expect(results.ut).toMatchGolden(tensor(`${prefix}/ut`), { relative: 1e-5 });
    expect(results.pred).toMatchGolden(tensor(`${prefix}/pred`), { relative: 1e-5 });
    expect(results.loss).toMatchGolden(tensor(`${prefix}/loss`), { relative: 1e-4 });
    const floor = groupFloor(gradients.map(tensor));
    for (const key of gradients) expect(results[key], key).toMatchGolden(tensor(key), { relative: 1e-3, floor });
    const losses = results.loss!.data as Float32Array;
    const mean = losses.reduce((a, b) => a + b, 0) / rows;
    expect(mean / (expected[`${prefix}/mean_loss`] as number)).toBeCloseTo(1, 4);
  });

  it("agrees where labels are dropped", async () => {
    const drop = tensor("train/drop_ids").data;
    const y = Int32Array.from(tensor("train/y").data as Int32Array, (label, i) =>
      drop[i] ? settings.num_classes : label,
    );
    const loss = flowLossOf(denoiseFlow(model, velocity, batch), velocity, batch);
    const results = await runOnce({ outputs: { loss } }, { ...images, ...weights, y: int32(y), t });
    expect(results.loss).toMatchGolden(tensor(`${prefix}/loss_drop`), { relative: 1e-4 });
  });

  const weighted = atLeastOne(
    names.flatMap((key) => {
      const [, prediction, weighting] = new RegExp(`^${prefix}/(\\w+)_(\\w+)/loss$`).exec(key) ?? [];
      return prediction ? [[prediction as PredictionName, weighting as WeightingName] as const] : [];
    }),
    `weighted losses of ${name}`,
  );
  it.each(weighted)("agrees when it predicts the %s with weight %s", async (prediction, weighting) => {
    const process: FlowProcess = { path: velocity.path, prediction, weighting };
    const times = timesOf(process);
    expect(times).toMatchGolden(tensor(`${prefix}/${prediction}_t`), { relative: 1e-6 });
    const loss = flowLossOf(denoiseFlow(model, process, batch), process, batch);
    const feeds = { ...images, ...weights, y: tensor("train/y"), t: times };
    const results = await runOnce({ outputs: { loss } }, feeds);
    expect(results.loss).toMatchGolden(tensor(`${prefix}/${prediction}_${weighting}/loss`), { relative: 1e-4 });
  });
});
