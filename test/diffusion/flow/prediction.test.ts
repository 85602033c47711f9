import { describe, expect, test } from "vitest";
import { float32, int32, type NDArray } from "../../../src/array/ndarray.ts";
import { interpolantAt } from "../../../src/diffusion/flow/path.ts";
import { flowField, flowLossOf } from "../../../src/diffusion/flow/prediction.ts";
import { squaredError } from "../../../src/diffusion/losses.ts";
import { withGuidance } from "../../../src/diffusion/predictor.ts";
import { pathNames, predictionNames } from "../../../src/diffusion/process.ts";
import { add, gather, input, mul, reshape } from "../../../src/graph/build.ts";
import { runOnce } from "../../golden/dit-fixture.ts";
import { fieldAt, noise } from "./gaussian-data.ts";
import "../../golden/matchers.ts";

const shape = [4, 2, 2, 2];
const times = [0.05, 0.3, 0.6, 0.95];
const x = noise(0, [4, 8]).reshape(shape);
const t = float32(times);
const io = { x: input("x", shape), t: input("t", [4]), y: input("y", [4], "int32") };
const output = input("output", shape);

const exact = (path: (typeof pathNames)[number], key: keyof ReturnType<typeof fieldAt>): NDArray =>
  float32(
    Array.from(x.data as Float32Array, (value, i) => fieldAt(path, value, Math.fround(times[Math.floor(i / 8)]!))[key]),
    shape,
  );

describe.each(pathNames)("on the path %s", (path) => {
  test.each(predictionNames)("the field is that of the data when a model predicts the %s", async (prediction) => {
    const field = flowField(() => output, { path, prediction }, io);
    const results = await runOnce({ outputs: { ...field } }, { x, t, output: exact(path, prediction) });
    expect(results.velocity).toMatchGolden(exact(path, "velocity"), { relative: 1e-5 });
    expect(results.score).toMatchGolden(exact(path, "score"), { relative: 1e-5 });
  });

  test.each([
    "noise",
    "score",
  ] as const)("the %s loss weighed by velocity is the error of the velocity", async (prediction) => {
    const process = { path, prediction, weighting: "velocity" } as const;
    const [xStart, eps, target] = [input("xStart", shape), input("eps", shape), input("target", shape)];
    const loss = flowLossOf({ xT: io.x, output, target }, process, { xStart, noise: eps, t: io.t, y: io.y });
    const { velocity } = flowField(() => output, process, io);
    const [data, epsilon] = [noise(1, [4, 8]).reshape(shape), noise(2, [4, 8]).reshape(shape)];
    const on = (factor: "alpha" | "dAlpha", other: "sigma" | "dSigma") =>
      float32(
        Float32Array.from(data.data as Float32Array, (value, i) => {
          const at = interpolantAt(path, times[Math.floor(i / 8)]!);
          return at[factor] * value + at[other] * (epsilon.data[i] as number);
        }),
        shape,
      );
    const feeds = {
      x: on("alpha", "sigma"),
      target: on("dAlpha", "dSigma"),
      eps: epsilon,
      t,
      output: noise(3, [4, 8]).reshape(shape),
    };
    const results = await runOnce({ outputs: { loss, error: squaredError(velocity, target) } }, feeds);
    expect(results.loss).toMatchGolden(results.error!, { relative: 1e-4 });
  });
});

test("guidance of all channels extrapolates velocity and score alike", async () => {
  const byLabel = input("byLabel", [3]);
  const model = ({ x: images, y }: typeof io) =>
    add(mul(images, 0.5), reshape(gather(byLabel, y), [y.shape[0]!, 1, 1, 1]));
  const process = { path: "linear", prediction: "velocity" } as const;
  const guidedField = flowField(withGuidance(model, 3, 2, 2), process, io);
  const cond = flowField(model, process, io);
  const uncond = flowField(model, process, { ...io, y: input("none", [4], "int32") });
  const outputs = {
    velocity: guidedField.velocity,
    score: guidedField.score,
    velocityByHand: add(mul(cond.velocity, 3), mul(uncond.velocity, -2)),
    scoreByHand: add(mul(cond.score, 3), mul(uncond.score, -2)),
  };
  const feeds = { x, t, y: int32([0, 1, 0, 1]), none: int32([2, 2, 2, 2]), byLabel: float32([0.3, -0.7, 0.1]) };
  const results = await runOnce({ outputs }, feeds);
  expect(results.velocity).toMatchGolden(results.velocityByHand!, { relative: 1e-5 });
  expect(results.score).toMatchGolden(results.scoreByHand!, { relative: 1e-5 });
});
