/** Masked knowledge distillation against the original: every loss term, mask, feature and gradient. */
import { describe, expect, it } from "vitest";
import { float32, int32, type NDArray } from "../../src/array/ndarray.ts";
import { namedSchedule } from "../../src/diffusion/schedule.ts";
import { input, mul, sum } from "../../src/graph/build.ts";
import { gradient } from "../../src/graph/gradient.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import type { DiTConfig } from "../../src/models/dit/config.ts";
import { type DiTInputs, dit } from "../../src/models/dit/dit.ts";
import type { LayerMap } from "../../src/models/layer-pairs.ts";
import { modelOf } from "../../src/models/registry.ts";
import { Params } from "../../src/nn/params.ts";
import { captureOutputs } from "../../src/nn/run-block.ts";
import { betaAt, distillLoss, moderateMask } from "../../src/training/distill.ts";
import { distillNoise, gaussianObjective } from "../../src/training/objectives.ts";
import { learningRateAt } from "../../src/training/rates.ts";
import { baseWeights, type DiTSettings, fixtureConfig, runOnce } from "./dit-fixture.ts";
import { atLeastOne, loadFixture } from "./fixture.ts";
import { groupFloor } from "./matchers.ts";

interface Settings extends DiTSettings {
  readonly teacher_weights_file: string;
  readonly teacher_depth: number;
  readonly student_depth: number;
  readonly student_layers: readonly number[];
  readonly teacher_layers: readonly number[];
  readonly beta_feat: number;
  readonly alpha_kd: number;
  readonly diffusion_steps: number;
}

interface Expected extends Record<string, unknown> {
  readonly mask_fraction_kept: Readonly<Record<string, number>>;
}

const { settings, expected, tensor, names } = loadFixture<Settings, Expected>("05_masked_kd");
const cases = atLeastOne(
  names.filter((name) => name.endsWith("/loss")).map((name) => name.split("/")[0]!),
  "distillation cases",
);
const layerMap: LayerMap = settings.student_layers.map((s, i) => [s, settings.teacher_layers[i]!] as const);

function tapped(p: Params, config: DiTConfig) {
  const features = new Map<number, Tensor>();
  return { features, predict: (io: DiTInputs) => dit(p, config, io, captureOutputs(features)) };
}

/** Student under its own names, teacher under `teacher.`, one weight replaced so that it has a massive activation. */
function weightFeeds(): Record<string, NDArray> {
  const named = (prefix: string) => names.filter((name) => name.startsWith(prefix));
  const teacher = baseWeights(settings.teacher_weights_file, settings.teacher_depth);
  for (const name of named("teacher_patch/")) teacher[name.slice("teacher_patch/".length)] = tensor(name);
  return {
    ...Object.fromEntries(Object.entries(teacher).map(([name, value]) => [`teacher.${name}`, value])),
    ...Object.fromEntries(named("student/").map((name) => [name.slice("student/".length), tensor(name)])),
  };
}

function labels(isDropped: boolean): NDArray {
  const drop = tensor("drop_ids").data;
  const y = Int32Array.from(tensor("y").data as Int32Array, (label, i) =>
    isDropped && drop[i] ? settings.num_classes : label,
  );
  return int32(y);
}

describe("distillation", () => {
  it.each(cases)("%s agrees with the original", async (name) => {
    const [method, mode] = name.split("_") as ["rep" | "kd", "drop" | "nodrop"];
    const p = new Params();
    const student = tapped(p, fixtureConfig(settings, settings.student_depth));
    const teacher = tapped(p.at("teacher"), fixtureConfig(settings, settings.teacher_depth));
    const rows = tensor("t").size;
    const beta = input("beta", []);
    const kind = method === "rep" ? "masked" : "output";
    const schedule = namedSchedule("linear", settings.diffusion_steps);
    const batch = gaussianObjective(schedule).inputs(modelOf(fixtureConfig(settings, settings.student_depth)), rows);
    const options = { kind, maskSigma: 2, weight: settings.alpha_kd, layerMap } as const;
    const teacherLabels = input("teacherLabels", [rows], "int32");
    const distilled = distillNoise(student.predict, teacher.predict, schedule, batch, teacherLabels);
    const terms = distillLoss(distilled, student.features, teacher.features, beta, options);
    const gradients = atLeastOne(
      names.filter((key) => key.startsWith(`${name}/grad/`)),
      "gradients",
    );
    const wrt = gradients.map((key) => p.tensor(key.slice(`${name}/grad/`.length)));
    const found = gradient(mul(sum(terms.loss), 1 / rows), wrt);
    const outputs: Record<string, Tensor> = {
      loss: terms.loss,
      mse: terms.mse!,
      vb: terms.vb!,
      vb_kd: distilled.vbDistillation!,
      kd_loss: terms.distillation!,
      gt: terms.diffusion!,
      ...(terms.features && { feat_loss: terms.features }),
      ...Object.fromEntries(gradients.map((key, i) => [key, found[i]!])),
    };
    layerMap.forEach(([s, t], i) => {
      Object.assign(outputs, {
        [`feat_s.${i}`]: student.features.get(s)!,
        [`feat_t.${i}`]: teacher.features.get(t)!,
        [`mask_s.${i}`]: moderateMask(student.features.get(s)!, 2),
        [`mask_t.${i}`]: moderateMask(teacher.features.get(t)!, 2),
      });
    });
    const results = await runOnce(
      { outputs },
      {
        ...weightFeeds(),
        xStart: tensor("x_start"),
        noise: tensor("noise"),
        index: tensor("t"),
        y: labels(mode === "drop"),
        teacherLabels: labels(mode === "drop" && method === "rep"),
        beta: float32([settings.beta_feat], []),
      },
    );
    const floor = groupFloor(gradients.map(tensor));
    for (const key of names.filter((n) => n.startsWith(`${name}/`))) {
      const short = key.slice(name.length + 1);
      if (short.startsWith("grad/")) expect(results[key], key).toMatchGolden(tensor(key), { relative: 1e-3, floor });
      else if (short.startsWith("mask_")) expectSameMask(results[short]!, key);
      else if (short.startsWith("feat_s") || short.startsWith("feat_t"))
        expect(results[short], key).toMatchGolden(tensor(key), { relative: 1e-5 });
      else expect(results[short], key).toMatchGolden(tensor(key), { relative: 1e-4 });
    }
    const losses = results.loss!.data as Float32Array;
    const mean = losses.reduce((a, b) => a + b, 0) / rows;
    expect(mean / (expected[`${name}_mean_loss`] as number)).toBeCloseTo(1, 4);
  });

  it("anneals β per step and the learning rate as the original does per epoch", () => {
    const [betas] = atLeastOne(
      Object.entries(expected).filter(([key]) => key.startsWith("beta_feat_by_epoch")),
      "β schedules",
    ) as [[string, number[]]];
    betas[1].forEach((value, k) => {
      expect(betaAt(settings.beta_feat, k, betas[1].length)).toBeCloseTo(value, 12);
    });
    const [rates] = atLeastOne(
      Object.entries(expected).filter(([key]) => key.startsWith("cosine_lr")),
      "learning rates",
    ) as [[string, number[]]];
    const [total, base, final] = [...rates[0].matchAll(/=([\d.e-]+)/g)].map((match) => Number(match[1])) as [
      number,
      number,
      number,
    ];
    rates[1].forEach((value, k) => {
      expect(learningRateAt({ base, kind: "cosine", final, warmupSteps: 0 }, k, total)).toBeCloseTo(value, 10);
    });
  });
});

function expectSameMask(found: NDArray, key: string) {
  const [ours, theirs] = [found.data as Float32Array, tensor(key).data as Uint8Array];
  expect(ours.length).toBe(theirs.length);
  expect(
    ours.findIndex((value, i) => value !== theirs[i]),
    key,
  ).toBe(-1);
  const kept = ours.reduce((a, b) => a + b, 0) / ours.length;
  if (key in expected.mask_fraction_kept) expect(kept).toBeCloseTo(expected.mask_fraction_kept[key]!, 6);
}
