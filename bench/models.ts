/** What the benchmarks have in common: models with random weights, batches, and training graphs. */
import { float32, int32, type NDArray, sizeOf } from "../src/array/ndarray.ts";
import { normals } from "../src/array/random.ts";
import { defaultProcess, scheduleOf } from "../src/diffusion/process.ts";
import type { NamedArrays } from "../src/engine/engine.ts";
import { gradient } from "../src/graph/gradient.ts";
import type { Graph } from "../src/graph/graph.ts";
import type { Model } from "../src/models/registry.ts";
import { initialWeights } from "../src/nn/init.ts";
import { Params, trainable } from "../src/nn/params.ts";
import { trainingLoss } from "../src/training/objective.ts";
import { gaussianObjective } from "../src/training/objectives.ts";

/** Random weights of which none is zero: as after training, no branch is dead. */
export function awakeWeights(specs: ReturnType<Params["specs"]>): Map<string, NDArray<"float32">> {
  const weights = initialWeights(specs, 0);
  for (const [name, value] of weights) {
    if (name.endsWith("pos_embed")) continue;
    normals({ seed: 1, purpose: `bench ${name}`, step: 0, index: 0 }, value.size).forEach((z, i) => {
      value.data[i] = (value.data[i]! as number) + 0.02 * z;
    });
  }
  return weights;
}

/** A batch of `rows` random examples. */
export function randomBatch({ config }: Model, rows: number): NamedArrays {
  const shape = [rows, config.inChannels, config.inputSize, config.inputSize];
  const images = (purpose: string) => float32(normals({ seed: 0, purpose, step: 0, index: 0 }, sizeOf(shape)), shape);
  return {
    xStart: images("x"),
    noise: images("noise"),
    index: int32(Int32Array.from({ length: rows }, (_, i) => (i * 379 + 17) % 1000)),
    y: int32(Int32Array.from({ length: rows }, (_, i) => i % config.numClasses)),
    weight: float32(new Float32Array(rows).fill(1 / rows)),
  };
}

/** The graph of loss and all weight gradients. */
export function fullGradientGraph(model: Model, rows: number): { graph: Graph; p: Params } {
  const p = new Params();
  const { loss, terms } = trainingLoss(
    gaussianObjective(scheduleOf(defaultProcess)),
    { model, p, isTraining: true },
    rows,
  );
  const names = trainable(p.specs()).map(({ name }) => name);
  const gradients = gradient(
    loss,
    names.map((name) => p.tensor(name)),
  );
  return {
    p,
    graph: { outputs: { ...terms, ...Object.fromEntries(names.map((name, i) => [`d ${name}`, gradients[i]!])) } },
  };
}
