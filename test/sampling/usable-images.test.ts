/** Models whose output is no image: every command that samples says so in one sentence, and leaves nothing that looks complete. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { float32, int32 } from "../../src/array/ndarray.ts";
import { modelOf } from "../../src/models/registry.ts";
import { initialWeights } from "../../src/nn/init.ts";
import { DivergedError, LARGEST_VALUE, requireUsable } from "../../src/sampling/usable-images.ts";
import { saveModel } from "../../src/weights/model-file.ts";
import { weightSpecs } from "../../src/weights/weight-specs.ts";
import { plantImages, run, tinyConfig } from "../cli/program-run.ts";
import { awakeWeights } from "../training/tiny.ts";

const folder = mkdtempSync(join(tmpdir(), "usable-images-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...parts: string[]): string => join(folder, ...parts);

const fault = [join("test", "faults", "huge-output.pt"), "--model-config", join("test", "faults", "tiny.json")];
const whole = [join("test", "faults", "tiny.pt"), ...fault.slice(1)];

/** A model whose last layer is multiplied. */
async function plantScaled(
  path: string,
  factor: number,
  config: object = tinyConfig,
  last = "final_layer.linear.weight",
) {
  const model = modelOf(config);
  const weights = awakeWeights(weightSpecs(model));
  const { data, shape } = weights.get(last)!;
  weights.set(
    last,
    float32(
      data.map((x) => x * factor),
      shape,
    ),
  );
  const process = { kind: model.family.process } as never;
  await saveModel(path, model, weights, { weights: "ema", images: 12, prunings: [], process });
  return path;
}

describe("an image that is none", () => {
  const images = (...values: number[]) => float32(Float32Array.from(values), [2, 1, 1, 2]);
  const labels = int32([3, 7]).data;

  test.each([
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    1e30,
    -2 * LARGEST_VALUE,
  ])("with the value %d is named", (value) => {
    const check = () => requireUsable({ first: 10, images: images(0, 1, -1, value), labels });
    expect(check).toThrow(DivergedError);
    expect(check).toThrow(
      /^sampling: image 11 \(class 7\) has the value (NaN|-?Infinity|1\.00e\+30|-2\.00e\+6), expected/,
    );
  });

  test("is not one of a padded row, nor one with the largest numbers of latents", () => {
    requireUsable({ first: 0, images: images(130, -130, Number.NaN, 1e30), labels: labels.subarray(0, 1) });
  });
});

describe("finite weights that make 1e30", () => {
  const diverges =
    /image 0 \(class \d\) has the value -?\d\.\d\de\+2\d, expected finite numbers of about −1 to 1; .* try more --steps or less --cfg/;

  test.each([
    ["sample", "--count", "2"],
    ["sample", "--count", "2", "--clip"],
    ["sample", "--count", "2", "--clip", "--sampler", "ddpm", "--steps", "5"],
    ["sample", "--count", "2", "--clip", "--sampler", "dpm++2m"],
    ["sample", "--count", "2", "--sampler", "dpm++2m", "--cfg", "1"],
    ["generate", "--count", "20"],
    ["evaluate", "--count", "20"],
    ["pareto", "--count", "20", "--steps", "ddim2"],
  ])(
    "are refused by %s %s %s %s",
    async (command, ...options) => {
      const out = at(`${command}-out`);
      const { code, stdout, stderr } = await run([command, ...fault, "--out", out, "--threads", "1", ...options]);
      expect([code, stdout]).toEqual([1, ""]);
      expect(stderr.trimEnd().split("\n").at(-1)).toMatch(diverges);
      const left = existsSync(out) ? readdirSync(out, { recursive: true, encoding: "utf8" }) : [];
      const ours = left.filter((name) => !name.startsWith("features")); // those of the reference stay
      expect(ours.filter((name) => /\.(npz|png|safetensors|html)$|samples\.json|evaluation\.json/.test(name))).toEqual(
        [],
      );
    },
    60_000,
  );

  test("are refused by compare, which names the model of the two", async () => {
    const out = at("pair.png");
    const pair = [whole[0]!, fault[0]!, "--model-config", fault[2]!, "--count", "2", "--out", out, "--threads", "1"];
    const { code, stderr } = await run(["compare", ...pair]);
    expect([code, existsSync(out)]).toEqual([1, false]);
    expect(stderr).toMatch(/huge-output\.pt: sampling: image 0 \(class 0\) has the value/);
  });

  test("are refused by bench-model, of which the time would be that of nothing", async () => {
    const { code, stderr } = await run([
      "bench-model",
      ...fault,
      "--batches",
      "2",
      "--rounds",
      "1",
      "--steps",
      "ddim2",
    ]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/has the value/);
  });

  test("are refused by export, although the file and our session agree", async () => {
    const { code, stderr } = await run(["export", ...fault, "--onnx", "--out", at("exported"), "--threads", "1"]);
    expect([code, existsSync(at("exported"))]).toEqual([1, false]);
    expect(stderr).toMatch(/denoiser: its output noise has the value .*e\+2\d .*nothing was exported/);
  });
});

test.each([
  ["a SiT", { ...tinyConfig, family: "sit" }, "final_layer.linear.weight"],
  ["a MAR", { ...marConfig() }, "diffloss.net.final_layer.linear.weight"],
])("%s that makes huge numbers is refused, too", async (name, config, last) => {
  const path = await plantScaled(at(`${name}.safetensors`), 1e30, config, last);
  const { code, stderr } = await run([
    "sample",
    path,
    "--count",
    "2",
    "--steps",
    "4",
    "--out",
    at(name),
    "--threads",
    "1",
  ]);
  expect([code, existsSync(at(name))]).toEqual([1, false]);
  expect(stderr).toMatch(/image 0 \(class 0\) has the value (NaN|-?Infinity|-?\d\.\d\de\+\d+), expected/);
});

function marConfig(): object {
  const sizes = { inputSize: 28, inChannels: 1, patchSize: 14, numClasses: 10, bufferSize: 2 };
  const stacks = { encoderSize: 8, encoderDepth: 2, encoderHeads: 2, decoderSize: 8, decoderDepth: 2, decoderHeads: 2 };
  return { family: "mar", ...sizes, ...stacks, denoiserSize: 8, denoiserDepth: 1 };
}

test("a model that was never trained gives images, also from a first step where alphaBar is 2e-9", async () => {
  const model = modelOf(tinyConfig);
  const process = { kind: "gaussian", schedule: "squaredcos_cap_v2", steps: 1000 } as const;
  const path = at("untrained.safetensors");
  await saveModel(path, model, initialWeights(weightSpecs(model), 1), {
    weights: "raw",
    images: 0,
    prunings: [],
    process,
  });
  const { code, stderr } = await run([
    "sample",
    path,
    "--count",
    "4",
    "--steps",
    "25",
    "--out",
    at("untrained"),
    "--threads",
    "1",
  ]);
  expect(code, stderr).toBe(0);
});

describe("training samples", () => {
  const common: string[] = [];
  beforeAll(async () => {
    await plantScaled(at("scaled.safetensors"), 1e8, { ...tinyConfig, learnSigma: false });
    common.push("--steps", "4", "--batch-size", "2", "--learning-rate", "0", "--threads", "1", ...plantImages(folder));
    common.push("--init", at("scaled.safetensors"), "--out", at("run"));
  });

  test("that are no images end the run with what to do, after its weights were saved; without samples it goes on", async () => {
    const { code, stderr } = await run(["train", ...common, "--sample-every", "2"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/step 2, averaged weights \(--sample-every 0 trains without samples\): sampling: image 0 /);
    expect(readdirSync(at("run", "checkpoints"))).toEqual(["step-00000002"]);
    expect(existsSync(at("run", "samples"))).toBe(false);
    const resumed = await run(["train", ...common, "--sample-every", "0"]);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(resumed.stderr).toContain("resumed at step 2 of 4");
  });
});
