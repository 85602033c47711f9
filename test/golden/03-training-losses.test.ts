/** Diffusion losses and all their gradients against the original. */
import { describe, expect, it } from "vitest";
import type { NDArray } from "../../src/array/ndarray.ts";
import { type DiffusionBatch, denoise, type LossTerms, lossOf, variationalBound } from "../../src/diffusion/losses.ts";
import { namedSchedule, respace } from "../../src/diffusion/schedule.ts";
import { input, mul, sum } from "../../src/graph/build.ts";
import { gradient } from "../../src/graph/gradient.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { dit } from "../../src/models/dit/dit.ts";
import { Params } from "../../src/nn/params.ts";
import { baseWeights, type DiTSettings, fixtureConfig, runOnce } from "./dit-fixture.ts";
import { atLeastOne, loadFixture } from "./fixture.ts";
import { groupFloor } from "./matchers.ts";

interface Settings extends DiTSettings {
  readonly depth: number;
  readonly weights_file: string;
  readonly diffusion_steps: number;
}

const { settings, expected, tensor, names } = loadFixture<Settings, Record<string, number>>("03_training_losses");
const config = fixtureConfig(settings, settings.depth);
const weights = baseWeights(settings.weights_file, settings.depth);

/** Labels with the dropped ones replaced by the null class. */
function labels(name: string): NDArray {
  const y = tensor("y");
  if (!names.includes(`${name}/drop_ids`)) return y;
  const drop = tensor(`${name}/drop_ids`).data;
  return Object.assign(y.reshape(y.shape), {
    data: Int32Array.from(y.data as Int32Array, (label, i) => (drop[i] ? settings.num_classes : label)),
  });
}

const cases = atLeastOne(
  new Set(names.filter((name) => name.endsWith("/loss")).map((name) => name.split("/")[0]!)),
  "loss cases",
);

describe("training losses", () => {
  it.each(cases)("%s: terms and gradients agree with the original", async (name) => {
    const full = namedSchedule("linear", settings.diffusion_steps);
    const steps = /^resp(\d+)$/.exec(name)?.[1];
    const schedule = steps ? respace(full, steps) : full;
    const x = tensor("x_start");
    const batch: DiffusionBatch = {
      xStart: input("xStart", x.shape),
      noise: input("noise", x.shape),
      index: input("index", [x.shape[0]!], "int32"),
      y: input("y", [x.shape[0]!], "int32"),
    };
    const p = new Params();
    const denoised = denoise((io) => dit(p, config, io), schedule, batch);
    const { xT, prediction } = denoised;
    const { loss, mse, vb } = name === "kl" ? rescaledKl() : lossOf(denoised, schedule, batch);
    /** The original's `RESCALED_KL`: the bound itself, times the number of steps. */
    function rescaledKl(): Partial<LossTerms> & Pick<LossTerms, "loss"> {
      const vb = variationalBound(schedule, prediction, xT, batch);
      return { loss: mul(vb, settings.diffusion_steps), vb };
    }
    const gradients = atLeastOneIf(
      name,
      names.filter((key) => key.startsWith(`${name}/grad/`)),
    );
    const wrt = gradients.map((key) => p.tensor(key.slice(`${name}/grad/`.length)));
    const total = mul(sum(loss), 1 / x.shape[0]!);
    const outputs: Record<string, Tensor> = { [`${name}/loss`]: loss };
    if (names.includes(`${name}/mse`)) outputs[`${name}/mse`] = mse!;
    if (names.includes(`${name}/vb`)) outputs[`${name}/vb`] = vb!;
    if (!steps) outputs.x_t = xT;
    gradient(total, wrt).forEach((dw, i) => {
      outputs[gradients[i]!] = dw;
    });
    const t = names.includes(`${name}/t`) ? tensor(`${name}/t`) : tensor("t");
    const feeds = { xStart: x, noise: tensor("noise"), index: t, y: labels(name), ...weights };
    const results = await runOnce({ outputs }, feeds);
    const sameT = t === tensor("t");
    const floor = gradients.length > 0 ? groupFloor(gradients.map(tensor)) : 0;
    for (const key of Object.keys(outputs)) {
      if (key === "x_t" && !sameT) continue;
      const tolerance = key.includes("/grad/") ? { relative: 1e-3, floor } : { relative: 1e-4 };
      expect(results[key], key).toMatchGolden(tensor(key), tolerance);
    }
    checkScalars(name, results, gradients);
  });
});

/** The first case must have gradients: it is there for them. */
function atLeastOneIf(name: string, gradients: string[]): string[] {
  return name === cases[0] ? atLeastOne(gradients, `gradients of ${name}`) : gradients;
}

function checkScalars(name: string, results: Record<string, NDArray>, gradients: string[]) {
  const values = results[`${name}/loss`]!.data as Float32Array;
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  if (`${name}_mean_loss` in expected) expect(mean / expected[`${name}_mean_loss`]!).toBeCloseTo(1, 4);
  if (!(`${name}_grad_norm` in expected)) return;
  const squares = gradients.map((key) => (results[key]!.data as Float32Array).reduce((a, b) => a + b * b, 0));
  expect(Math.sqrt(squares.reduce((a, b) => a + b, 0)) / expected[`${name}_grad_norm`]!).toBeCloseTo(1, 3);
}
