/** A DiT small enough for tests, weights that leave nothing at zero, and a few random images. */
import { float32, type NDArray, NDArray as Values } from "../../src/array/ndarray.ts";
import { normals, uniforms } from "../../src/array/random.ts";
import { imagesInMemory, type TrainingSet } from "../../src/data/training-set.ts";
import { namedSchedule } from "../../src/diffusion/schedule.ts";
import type { Engine, NamedArrays } from "../../src/engine/engine.ts";
import { type Model, modelOf } from "../../src/models/registry.ts";
import { initialWeights } from "../../src/nn/init.ts";
import { Params, type WeightSpec } from "../../src/nn/params.ts";
import type { DrawSettings } from "../../src/training/examples.ts";
import { trainingLoss } from "../../src/training/objective.ts";
import { gaussianObjective } from "../../src/training/objectives.ts";
import { Trainer } from "../../src/training/trainer.ts";

export const TIMESTEPS = 100;

export function tinyModel(depth = 2): Model {
  const sizes = { inputSize: 8, patchSize: 4, inChannels: 1, hiddenSize: 16, numHeads: 2, numClasses: 3 };
  return modelOf({ ...sizes, depth });
}

/** Starting values plus noise: adaLN-Zero alone would leave most gradients at exactly zero. */
export function awakeWeights(specs: readonly WeightSpec[]): Map<string, NDArray<"float32">> {
  return new Map(
    Array.from(initialWeights(specs, 1), ([name, { data, shape }]) => {
      const noise = normals({ seed: 2, purpose: `awake ${name}`, step: 0, index: 0 }, data.length);
      return [
        name,
        float32(
          data.map((x, i) => x + 0.1 * noise[i]!),
          shape,
        ),
      ] as const;
    }),
  );
}

/** As arrays, to compare with. */
export const pictures = {
  images: float32(
    uniforms({ seed: 1, purpose: "images", step: 0, index: 0 }, 20 * 64).map((u) => 2 * u - 1),
    [20, 1, 8, 8],
  ),
  labels: new Values(
    "int32",
    [20],
    Int32Array.from({ length: 20 }, (_, i) => i % 3),
  ),
};

export const images: TrainingSet = imagesInMemory(pictures.images, pictures.labels, 3);

/** The micro-batches of a step with the tiny model's process. */
export const drawTiny = (settings: DrawSettings, step: number): Promise<NamedArrays[]> =>
  gaussianObjective(namedSchedule("linear", TIMESTEPS)).draw(tinyModel(), images, settings, step);

/** A trainer of all weights of the tiny model, for micro-batches of `rows`. */
export async function tinyTrainer(engine: Engine, rows: number, depth = 2): Promise<Trainer> {
  const p = new Params();
  const traced = trainingLoss(
    gaussianObjective(namedSchedule("linear", TIMESTEPS)),
    { model: tinyModel(depth), p, isTraining: true },
    rows,
  );
  const start = awakeWeights(p.specs());
  const [trained, fixed] = [true, false].map((wanted) =>
    p.specs().filter(({ init }) => (init.kind !== "fixed") === wanted),
  ) as [WeightSpec[], WeightSpec[]];
  const constants = new Map(fixed.map(({ name }) => [name, start.get(name)!]));
  return Trainer.compile(engine, traced, trained, start, { fixed: constants });
}
