/** The DiT of the fixtures: its config from a sidecar, its weights, and a graph runner. */

import type { NDArray } from "../../src/array/ndarray.ts";
import { runAndRead } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { type DiTConfig, ditConfigSchema } from "../../src/models/dit/config.ts";
import { loadFixture } from "./fixture.ts";

/** The part of a sidecar's settings that describes the model. */
export interface DiTSettings {
  readonly input_size: number;
  readonly patch_size: number;
  readonly in_channels: number;
  readonly hidden_size: number;
  readonly num_heads: number;
  readonly mlp_ratio: number;
  readonly num_classes: number;
  readonly learn_sigma: boolean;
}

export function fixtureConfig(settings: DiTSettings, depth: number): DiTConfig {
  return ditConfigSchema.parse({
    inputSize: settings.input_size,
    patchSize: settings.patch_size,
    inChannels: settings.in_channels,
    hiddenSize: settings.hidden_size,
    depth,
    numHeads: settings.num_heads,
    mlpRatio: settings.mlp_ratio,
    numClasses: settings.num_classes,
    learnSigma: settings.learn_sigma,
  });
}

/** The weights of `weights_dit` by name, those of blocks below `depth` only. */
export function baseWeights(file: string, depth: number): Record<string, NDArray> {
  const { names, tensor } = loadFixture(file.replace(".safetensors", ""));
  const used = names.filter((name) => {
    const block = /^blocks\.(\d+)\./.exec(name)?.[1];
    return block === undefined || Number(block) < depth;
  });
  return Object.fromEntries(used.map((name) => [name, tensor(name)]));
}

/** Compiles and runs a graph once. */
export async function runOnce(graph: Graph, feeds: Record<string, NDArray>): Promise<Record<string, NDArray>> {
  const session = await cpuEngine().compile(graph);
  const results = await runAndRead(session, feeds);
  await session.release();
  return results;
}
