/** Summed gradients of the loss: against central differences, and over the right timesteps. */
import { describe, expect, it } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { float32, type NDArray } from "../../../src/array/ndarray.ts";
import {
  channelGroupsOf,
  keepChannelGroups,
  type PrunableModel,
  withWidths,
} from "../../../src/pruning/width/channel-groups.ts";
import {
  type GradientSettings,
  spreadTimesteps,
  timestepGradients,
} from "../../../src/pruning/width/timestep-gradients.ts";
import { readWeights } from "../../../src/weights/read-weights.ts";
import { images } from "../../training/tiny.ts";
import { difference, engine, fileOf, masked, someGroups, wide, wideSit } from "./prunable.ts";

const settingsOf = (model: PrunableModel): GradientSettings => ({
  process: fileOf(model).process,
  ...{ seed: 3, examples: 6, microBatch: 4, timesteps: 8, threshold: 0 },
});

type Tensors = ReadonlyMap<string, NDArray<"float32">>;

const computed = (
  model: PrunableModel,
  tensors: Tensors = fileOf(model).tensors,
  settings: Partial<GradientSettings> = {},
  names: readonly string[] = ["blocks.0.attn.qkv.weight", "blocks.1.mlp.fc2.weight"],
) => timestepGradients(engine, fileOf(model, tensors), images, names, { ...settingsOf(model), ...settings });

/** The weights with one element moved. */
function moved(tensors: Tensors, name: string, at: number, by: number): Map<string, NDArray<"float32">> {
  const { data, shape } = tensors.get(name)!;
  const values = data.slice();
  values[at] = values[at]! + by;
  return new Map([...tensors, [name, float32(values, shape)]]);
}

describe.each([
  ["a DiT", wide],
  ["a SiT", wideSit],
])("%s", (_, model) => {
  it("has the gradient of the losses of the used timesteps, by central differences", async () => {
    const { tensors } = fileOf(model);
    const all = await computed(model, tensors);
    const threshold = middle(all.losses.map(({ loss }) => loss / Math.max(...all.losses.map((one) => one.loss))));
    const found = await computed(model, tensors, { threshold });
    expect(new Set(found.losses.map(({ used }) => used))).toEqual(new Set([true, false]));
    for (const name of ["blocks.0.attn.qkv.weight", "blocks.1.mlp.fc2.weight"]) {
      const gradient = found.gradients.get(name)!;
      const at = gradient.reduce((best, x, i) => (Math.abs(x) > Math.abs(gradient[best]!) ? i : best), 0);
      const sumAt = async (by: number) => {
        const { losses } = await computed(model, moved(tensors, name, at, by));
        return losses.reduce((sum, { loss }, i) => sum + (found.losses[i]!.used ? loss : 0), 0);
      };
      const step = 0.02;
      const wanted = ((await sumAt(step)) - (await sumAt(-step))) / (2 * step);
      expect(Math.abs(wanted / gradient[at]! - 1), name).toBeLessThan(0.01);
    }
  });

  it("uses the timesteps above the threshold times the largest loss", async () => {
    const { losses } = await computed(model, undefined, { threshold: 0.9 });
    const largest = Math.max(...losses.map(({ loss }) => loss));
    expect(losses.map(({ used }) => used)).toEqual(losses.map(({ loss }) => loss > 0.9 * largest));
    expect((await computed(model)).losses.every(({ used }) => used)).toBe(true);
  });

  it("does not depend on the size of a micro-batch", async () => {
    const [some, all] = [await computed(model), await computed(model, undefined, { microBatch: 6 })];
    for (const [name, gradient] of all.gradients)
      expect(difference(some.gradients.get(name)!, gradient)).toBeLessThan(1e-5);
  });

  it("has the gradients of the masked wide model when it is narrow", async () => {
    const { tensors } = fileOf(model);
    const narrow = withWidths(model, { heads: 2, channels: 9 });
    const cut = await readWeights(keepChannelGroups(model, tensors, someGroups));
    const names = channelGroupsOf(model).flatMap(({ heads, channels }) =>
      [...heads.weights, ...channels.weights].map(({ name }) => name),
    );
    const unique = [...new Set(names)];
    const own = await computed(narrow, cut, {}, unique);
    const whole = await computed(model, masked(model, tensors, someGroups), {}, unique);
    const shaped = new Map(
      Array.from(whole.gradients, ([name, values]) => [name, float32(values, tensors.get(name)!.shape)] as const),
    );
    const expected = await readWeights(keepChannelGroups(model, shaped, someGroups));
    for (const name of unique) {
      expect(difference(own.gradients.get(name)!, expected.get(name)!.data), name).toBeLessThan(1e-5);
    }
  });
});

it("a learned variance has no part in the loss", async () => {
  const { tensors } = fileOf(wide);
  const name = "final_layer.linear.bias"; // 16 pixels of 2 channels: the second is the variance
  const loss = async (of: Tensors) => (await computed(wide, of)).losses.map(({ loss }) => loss);
  expect(await loss(moved(tensors, name, 1, 1))).toEqual(await loss(tensors));
  expect(await loss(moved(tensors, name, 0, 1))).not.toEqual(await loss(tensors));
});

it("refuses a loss that is no number", async () => {
  const broken = moved(fileOf(wide).tensors, "blocks.0.attn.qkv.weight", 0, Number.NaN);
  await expect(computed(wide, broken)).rejects.toThrow(InputError);
  await expect(computed(wide, broken)).rejects.toThrow(/the loss at timestep 3 is NaN/);
});

it("counts its runs, and stops between them", async () => {
  const counts: string[] = [];
  const run = (hooks: Parameters<typeof timestepGradients>[5]) =>
    timestepGradients(
      engine,
      fileOf(wide),
      images,
      ["blocks.0.mlp.fc2.weight"],
      { ...settingsOf(wide), threshold: 1e-6 },
      hooks,
    );
  await run({ onRun: (done, all) => counts.push(`${done}/${all}`) });
  expect(counts).toEqual(Array.from({ length: 32 }, (_, i) => `${i + 1}/32`)); // 8 timesteps, 2 micro-batches, twice
  const stop = new AbortController();
  let done = 0;
  const stopped = run({ signal: stop.signal, onRun: () => ++done === 3 && stop.abort() });
  await expect(stopped).rejects.toThrow();
  expect(done).toBe(3);
});

describe("timesteps", () => {
  it("are all steps of a diffusion that has so many, or middles of equal pieces", () => {
    const values = (count: number, steps: number) =>
      spreadTimesteps({ kind: "gaussian", schedule: "linear", steps }, count).map(({ value }) => value);
    expect(values(1000, 1000)).toEqual(Array.from({ length: 1000 }, (_, t) => t));
    expect(values(4, 1000)).toEqual([125, 375, 625, 875]);
  });

  it("lie in the training interval of a flow", () => {
    const flow = { kind: "flow", path: "linear", prediction: "velocity", weighting: "none" } as const;
    expect(spreadTimesteps(flow, 2).map(({ value }) => value)).toEqual([0.25, 0.75]);
    const [first] = spreadTimesteps({ ...flow, prediction: "score", trainEpsilon: 0.2 }, 1);
    expect(first!.value).toBeCloseTo(0.5, 6);
    expect([...first!.feeds(3).t!.data]).toEqual(new Array(3).fill(first!.value));
  });

  it("are no more than a diffusion has", () => {
    expect(() => spreadTimesteps({ kind: "gaussian", schedule: "linear", steps: 50 }, 51)).toThrow(
      /`timesteps` 51: the diffusion process of the model has 50 steps/,
    );
  });
});

const middle = (numbers: readonly number[]): number => {
  const sorted = [...numbers].sort((a, b) => a - b);
  return (sorted[3]! + sorted[4]!) / 2;
};
