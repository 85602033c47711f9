/** Tiny models with heads and MLP channels to remove, as files, and what they compute. */
import { float32, int32, type NDArray } from "../../../src/array/ndarray.ts";
import { normals } from "../../../src/array/random.ts";
import { type Process, processOf } from "../../../src/diffusion/process.ts";
import { runAndRead, type Weight } from "../../../src/engine/engine.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { input } from "../../../src/graph/build.ts";
import { modelOf, predictor } from "../../../src/models/registry.ts";
import { Params } from "../../../src/nn/params.ts";
import {
  channelGroupsOf,
  type KeptChannelGroups,
  type PrunableModel,
  requirePrunableModel,
} from "../../../src/pruning/width/channel-groups.ts";
import { channelGroupKinds } from "../../../src/weights/model-description.ts";
import { type ModelFile, weightSpecs } from "../../../src/weights/model-file.ts";
import { readWeights } from "../../../src/weights/read-weights.ts";
import { awakeWeights } from "../../training/tiny.ts";

export const engine = cpuEngine({ threads: 1 });

/** Four heads of four and 24 MLP channels in each of two blocks, on images as those of `test/training/tiny.ts`. */
const body = {
  ...{ inputSize: 8, patchSize: 4, inChannels: 1, hiddenSize: 16, depth: 2 },
  ...{ numHeads: 4, mlpRatio: 1.5, numClasses: 3 },
};

export const wide = requirePrunableModel(modelOf(body), "wide");
export const wideSit = requirePrunableModel(modelOf({ ...body, family: "sit", learnSigma: false }), "wide SiT");

type Weights = ReadonlyMap<string, NDArray<"float32">>;

/** A file in memory; `weights` leave nothing at zero unless they are given. */
export function fileOf(
  model: PrunableModel,
  weights: Weights = awakeWeights(weightSpecs(model)),
): ModelFile<NDArray<"float32">> {
  const kind = model.family.process;
  const process: Process = processOf(kind, kind === "gaussian" ? { steps: 50 } : {});
  const facts = { weights: "raw", images: 7, prunings: [], sha256: "ab".repeat(32), path: "tiny" } as const;
  return { ...facts, process, model, tensors: weights };
}

/** Other units in every block. */
export const someGroups: KeptChannelGroups = [
  { heads: [0, 3], channels: [0, 1, 2, 5, 8, 13, 21, 22, 23] },
  { heads: [1, 2], channels: [3, 4, 6, 7, 9, 10, 11, 12, 14] },
];

/** The weights with nothing going out from the units that are not kept. */
export function masked(
  model: PrunableModel,
  weights: Weights,
  kept: KeptChannelGroups,
): Map<string, NDArray<"float32">> {
  const result = new Map(
    Array.from(weights, ([name, { data, shape }]) => [name, float32(data.slice(), shape)] as const),
  );
  for (const [block, units] of channelGroupsOf(model).entries()) {
    for (const kind of channelGroupKinds) {
      const { name } = units[kind].weights.find(({ axis }) => axis === 1)!;
      const { data, shape } = result.get(name)!;
      const stays = new Set(kept[block]![kind]);
      for (let i = 0; i < data.length; i++) {
        if (!stays.has(Math.floor((i % shape[1]!) / units[kind].size))) data[i] = 0;
      }
    }
  }
  return result;
}

/** The model's prediction for three noised images. */
export async function prediction(model: PrunableModel, weights: ReadonlyMap<string, Weight>): Promise<Float32Array> {
  const inputs = { x: input("x", [3, 1, 8, 8]), t: input("t", [3]), y: input("y", [3], "int32") };
  const session = await engine.compile({ outputs: { out: predictor(model, new Params())(inputs) } });
  const x = float32(normals({ seed: 0, purpose: "x", step: 0, index: 0 }, 192), [3, 1, 8, 8]);
  const t = float32(model.family.name === "sit" ? [0.1, 0.5, 0.9] : [3, 20, 45]);
  const fed = { ...Object.fromEntries(await readWeights(weights)), x, t, y: int32([1, 2, 3]) };
  const { out } = await runAndRead(session, fed);
  await session.release();
  return out!.data as Float32Array;
}

/** Largest difference, relative to the largest value. */
export function difference(found: ArrayLike<number>, wanted: ArrayLike<number>): number {
  let [largest, scale] = [found.length === wanted.length ? 0 : Number.POSITIVE_INFINITY, 0];
  for (let i = 0; i < wanted.length; i++) {
    largest = Math.max(largest, Math.abs(found[i]! - wanted[i]!));
    scale = Math.max(scale, Math.abs(wanted[i]!));
  }
  return largest / scale;
}
