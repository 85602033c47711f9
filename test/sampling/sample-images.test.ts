import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { float32, int32, type NDArray } from "../../src/array/ndarray.ts";
import { normals } from "../../src/array/random.ts";
import { processOf } from "../../src/diffusion/process.ts";
import { namedSchedule, respace } from "../../src/diffusion/schedule.ts";
import { type Engine, runAndRead } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { input } from "../../src/graph/build.ts";
import { predictor } from "../../src/models/registry.ts";
import { Params } from "../../src/nn/params.ts";
import { runOnly } from "../../src/nn/run-block.ts";
import { keepBlocks } from "../../src/pruning/keep-blocks.ts";
import { labelsFrom, type SampleImagesRequest, sampleImages } from "../../src/sampling/sample-images.ts";
import { weightSpecs } from "../../src/weights/weight-specs.ts";
import "../golden/matchers.ts";
import { awakeWeights, tinyModel } from "../training/tiny.ts";

const engine = cpuEngine({ threads: 1 });
const model = tinyModel(3);
const weights = awakeWeights(weightSpecs(model));
const PIXELS = 64;

const draw = (change: Partial<SampleImagesRequest> = {}) =>
  sampleImages({ engine, model, weights, labels: 6, seed: 7, steps: "ddim5", internalBatch: 4, ...change });
const drawn = async (change: Partial<SampleImagesRequest> = {}) => (await draw(change)).images;
const values = (images: NDArray, first = 0, end = images.shape[0]!) => [...images.rows(first, end).data];

describe("generated images", () => {
  test.each([
    "ddim",
    "ddpm",
  ] as const)("%s: image i is the same, bit for bit, however many are asked for", async (sampler) => {
    const many = await drawn({ sampler, labels: 10 });
    for (const count of [1, 3, 4, 5]) {
      const some = await drawn({ sampler, labels: count });
      expect(some.shape).toEqual([count, 1, 8, 8]);
      expect(values(some)).toEqual(values(many, 0, count));
    }
  });

  test("image i is the same, bit for bit, in batches of another size", async () => {
    const expected = values(await drawn());
    for (const internalBatch of [2, 3, 8]) expect(values(await drawn({ internalBatch }))).toEqual(expected);
  });

  test("image i depends on its own label only", async () => {
    const [a, b] = [
      await drawn({ labels: Int32Array.of(0, 1, 2, 0) }),
      await drawn({ labels: Int32Array.of(0, 2, 2, 1) }),
    ];
    for (const same of [0, 2]) expect(values(a, same, same + 1)).toEqual(values(b, same, same + 1));
    for (const other of [1, 3]) expect(values(a, other, other + 1)).not.toEqual(values(b, other, other + 1));
  });

  test("a count means the classes in turn", async () => {
    const { labels, images } = await draw({ labels: 5 });
    expect([...labels]).toEqual([0, 1, 2, 0, 1]);
    expect(values(images)).toEqual(values(await drawn({ labels: Int32Array.of(0, 1, 2, 0, 1) })));
  });

  test("another seed gives other images, the same seed the same", async () => {
    expect(values(await drawn())).toEqual(values(await drawn()));
    expect(values(await drawn())).not.toEqual(values(await drawn({ seed: 8 })));
  });

  test("running only some blocks draws what the model pruned to them draws", async () => {
    const kept = [0, 2];
    const pruned = { family: model.family, config: model.family.keep(model.config, kept) };
    const slim = await drawn({ model: pruned, weights: keepBlocks(model, weights, kept) });
    expect(values(await drawn({ runBlock: runOnly(kept) }))).toEqual(values(slim));
    expect(values(await drawn())).not.toEqual(values(slim));
  });

  test("guidance, its channels, clipping and the model's own schedule change the images", async () => {
    const base = String(values(await drawn()));
    const process = processOf("gaussian", { schedule: "squaredcos_cap_v2" });
    for (const change of [{ cfgScale: 1 }, { clip: true }, { process }, { sampler: "ddpm" }, { eta: 1 }] as const) {
      expect(String(values(await drawn(change))), JSON.stringify(Object.keys(change))).not.toBe(base);
    }
  });
});

/** The sampler as loops over numbers, with noise drawn and labels dropped by hand; only the network runs in the engine. */
async function sampledByHand(
  kind: "ddim" | "ddpm",
  eta: number,
  label: number,
  index: number,
  cfg: number,
): Promise<number[]> {
  const p = new Params();
  const output = predictor(
    model,
    p,
  )({
    x: input("x", [2, 1, 8, 8]),
    t: input("t", [2]),
    y: input("y", [2], "int32"),
  });
  const session = await engine.compile({ outputs: { output } });
  const s = respace(namedSchedule("linear", 1000), "ddim5");
  const noise = (step: number) => normals({ seed: 7, purpose: "sample noise", step, index }, PIXELS);
  let x: number[] = [...noise(0)];
  for (let i = 4; i >= 0; i--) {
    const t = s.timesteps[i]!;
    const feeds = { x: float32([...x, ...x], [2, 1, 8, 8]), t: float32([t, t]), y: int32([label, 3]) };
    const out = (await runAndRead(session, { ...Object.fromEntries(weights), ...feeds })).output!.data as Float32Array;
    const z = noise(5 - i);
    const [a, before] = [s.alphasCumprod[i]!, s.alphasCumprodPrev[i]!];
    x = x.map((value, j) => {
      const uncond = out[2 * PIXELS + j]!;
      const epsilon = uncond + cfg * (out[j]! - uncond);
      const xStart = (value - Math.sqrt(1 - a) * epsilon) / Math.sqrt(a);
      if (kind === "ddpm") {
        const share = (out[PIXELS + j]! + 1) / 2; // of the labelled half
        const logVariance = share * s.logBetas[i]! + (1 - share) * s.posteriorLogVarianceClipped[i]!;
        const mean = s.posteriorMeanCoef1[i]! * xStart + s.posteriorMeanCoef2[i]! * value;
        return mean + (i > 0 ? Math.exp(logVariance / 2) * z[j]! : 0);
      }
      const sigma = eta * Math.sqrt(((1 - before) / (1 - a)) * (1 - a / before));
      const mean = Math.sqrt(before) * xStart + Math.sqrt(1 - before - sigma ** 2) * epsilon;
      return mean + (i > 0 ? sigma * z[j]! : 0);
    });
  }
  return x;
}

describe("the sampler", () => {
  test.each([
    ["ddim", 0],
    ["ddim", 1],
    ["ddpm", 0],
  ] as const)("%s with eta %d agrees with loops over numbers, noise keyed by seed, step and image", async (kind, eta) => {
    const images = await drawn({ sampler: kind, eta, cfgScale: 3, labels: Int32Array.of(0, 0, 0, 0, 0, 2) });
    const expected = await sampledByHand(kind, eta, 2, 5, 3);
    expect(images.rows(5, 6)).toMatchGolden(float32(expected, [1, 1, 8, 8]), { relative: 1e-4 });
  });
});

describe("a request to generate", () => {
  test.each([
    [{ sampler: "ddim", eta: 0 }, false],
    [{ sampler: "ddim", eta: 1 }, true],
    [{ sampler: "ddpm" }, true],
  ] as const)("with %o draws fresh noise for its steps: %s", async (change, isNoisy) => {
    const fed: boolean[] = [];
    const watching: Engine = {
      ...engine,
      async compile(graph, options) {
        const program = await engine.compile(graph, options);
        return {
          run(inputs) {
            fed.push("noise" in inputs);
            return program.run(inputs);
          },
          release: () => program.release(),
        };
      },
    };
    expect(values(await drawn({ engine: watching, ...change }))).toEqual(values(await drawn(change)));
    expect(fed).toEqual(new Array(10).fill(isNoisy));
  });

  test("reports every denoiser evaluation and the finished images", async () => {
    const seen: string[] = [];
    const result = await draw({
      onProgress: ({ evaluations, of, images }) => seen.push(`${evaluations}/${of} ${images}`),
    });
    expect(seen).toHaveLength(10);
    expect([seen[0], seen[4], seen[5], seen[9]]).toEqual(["1/10 0", "5/10 4", "6/10 4", "10/10 6"]);
    expect(result.secondsPerImage).toBeCloseTo(result.seconds / 6, 12);
    expect(result.iterationsPerSecond).toBeCloseTo(10 / result.seconds, 9);
  });

  test("stops when it is aborted", async () => {
    const controller = new AbortController();
    let evaluations = 0;
    const onProgress = () => {
      if (++evaluations === 3) controller.abort();
    };
    await expect(draw({ signal: controller.signal, onProgress })).rejects.toThrow("abort");
    expect(evaluations).toBe(3);
  });

  test.each<[Partial<SampleImagesRequest>, string]>([
    [{ labels: 0 }, "expected at least 1 image, got 0"],
    [{ labels: -2 }, "expected at least 1 image, got -2"],
    [{ labels: new Int32Array(0) }, "expected at least 1 image, got 0"],
    [{ labels: Int32Array.of(0, 4) }, "unknown label 4; the model knows 0 to 2 (3: none)"],
    [{ labels: Int32Array.of(-1) }, "unknown label -1"],
    [{ cfgChannels: 3 }, "guidance of 3 channels, the model's noise has 1"],
    [{ internalBatch: 0 }, "at least 1 image, got 0"],
    [{ steps: "ddim999999" }, "ddim999999"],
    [{ weights: new Map() }, "was not fed"],
  ])("that cannot be met is refused in one sentence: %o", async (change, message) => {
    const result = draw(change);
    await expect(result).rejects.toThrow(InputError);
    await expect(result).rejects.toThrow(message);
  });
});

describe("labels", () => {
  test("are a function of seed and number, so more of them begin with the same", () => {
    const plan = { mode: "uniform", classes: [4, 7, 9], seed: 3 } as const;
    const many = labelsFrom(plan, 3000);
    expect([...labelsFrom(plan, 10)]).toEqual([...many.subarray(0, 10)]);
    expect([...labelsFrom({ ...plan, seed: 4 }, 3000)]).not.toEqual([...many]);
    for (const label of plan.classes) {
      const share = many.filter((one) => one === label).length / many.length;
      expect(Math.abs(share - 1 / 3)).toBeLessThan(4 * Math.sqrt(2 / 9 / 3000));
    }
  });

  test("balanced take the classes in turn", () => {
    expect([...labelsFrom({ mode: "balanced", classes: [4, 7, 9], seed: 3 }, 5)]).toEqual([4, 7, 9, 4, 7]);
  });
});
