/** Training the digit classifier: cross-entropy on shifted images. N batch, K classes. */
import { float32, int32, sizeOf } from "../array/ndarray.ts";
import { integers } from "../array/random.ts";
import { exampleIndices, rowKey, type TrainingSet } from "../data/training-set.ts";
import type { Engine, NamedArrays } from "../engine/engine.ts";
import {
  cast,
  constant,
  equal,
  exp,
  input,
  less,
  log,
  max,
  mean,
  mul,
  stopGradient,
  sub,
  sum,
  unsqueeze,
} from "../graph/build.ts";
import { fixedDim, type Tensor } from "../graph/tensor.ts";
import { type DigitClassifierConfig, digitClassifier, digitClassifierConfig } from "../models/digit-classifier.ts";
import { initialWeights } from "../nn/init.ts";
import { Params } from "../nn/params.ts";
import type { AdamWSettings } from "./adamw.ts";
import { type TracedLoss, Trainer } from "./trainer.ts";
import { WeightTask, type WeightTaskSettings } from "./weight-task.ts";

export interface ClassifierSettings extends WeightTaskSettings {
  readonly seed: number;
  /** Each image is moved by up to so many pixels in both directions. */
  readonly shift: number;
  readonly adamw: AdamWSettings;
}

/** The key of the weights' metadata: JSON of configuration and settings. */
export const CLASSIFIER_METADATA = "tinyfusion-classifier";

/** −log softmax(logits)[label], stable for logits of any size: logits [N, K], labels [N] int32 → [N]. */
export function crossEntropy(logits: Tensor, labels: Tensor): Tensor {
  const shifted = sub(logits, stopGradient(max(logits, [1], true)));
  return sub(log(sum(exp(shifted), [1])), sum(mul(oneHot(labels, fixedDim(logits, 1)), shifted), [1]));
}

/** 1 where the label's logit is the largest, else 0: [N]. */
function hits(logits: Tensor, labels: Tensor): Tensor {
  const own = sum(mul(oneHot(labels, fixedDim(logits, 1)), logits), [1]);
  return sub(1, cast(less(own, max(logits, [1])), "float32"));
}

/** labels [N] int32 → [N, classes], 1 at the label. */
function oneHot(labels: Tensor, classes: number): Tensor {
  return cast(
    equal(unsqueeze(labels, 1), constant(int32(Int32Array.from({ length: classes }, (_, k) => k)))),
    "float32",
  );
}

/** The loss of `rows` images `x` with classes `y`; reports its accuracy. */
export function classifierLoss(p: Params, config: DigitClassifierConfig, rows: number): TracedLoss {
  const x = input("x", [rows, config.imageChannels, config.imageSize, config.imageSize]);
  const y = input("y", [rows], "int32");
  const { logits } = digitClassifier(p, x, config);
  const loss = mean(crossEntropy(logits, y), [0]);
  return { loss, terms: { loss, accuracy: mean(hits(logits, y), [0]) }, tensorOf: (name) => p.tensor(name) };
}

/** The examples of global step k, each moved by its own draw from (seed, step, place in the batch): feeds `x` and `y`. */
export async function drawShiftedBatch(
  data: TrainingSet,
  { seed, batchSize, shift }: Pick<ClassifierSettings, "seed" | "batchSize" | "shift">,
  step: number,
): Promise<NamedArrays> {
  const examples = exampleIndices({ seed, size: data.size, globalStep: step, batchSize });
  const keys = Array.from(examples, (_, index) => rowKey(seed, step, index));
  const { images, labels } = await data.read(examples, keys);
  const x = new Float32Array(images.size);
  keys.forEach((key, row) => {
    const moves = integers(key("image shift"), 2, 2 * shift + 1);
    const size = sizeOf(data.shape);
    const [target, image] = [x, images.data].map((all) => all.subarray(row * size, (row + 1) * size));
    shiftInto(target!, image!, data.shape, [moves[0]! - shift, moves[1]! - shift]);
  });
  return { x: float32(x, images.shape), y: int32(labels) };
}

const background = -1;

/** Copies an image [C, H, W] moved `down` and `right` (up and left if negative); what comes into view is background. */
export function shiftInto(
  target: Float32Array,
  image: Float32Array,
  [channels, height, width]: readonly [number, number, number],
  [down, right]: readonly [number, number],
): void {
  target.fill(background);
  const from = Math.max(0, -right);
  const length = width - Math.abs(right);
  for (let c = 0; c < channels; c++) {
    for (let row = Math.max(0, -down); row < Math.min(height, height - down); row++) {
      const source = (c * height + row) * width + from;
      target.set(image.subarray(source, source + length), (c * height + row + down) * width + from + right);
    }
  }
}

/** A task that trains the classifier from random weights. */
export async function classifierTask(
  engine: Engine,
  data: TrainingSet,
  settings: ClassifierSettings,
  config: DigitClassifierConfig = digitClassifierConfig,
): Promise<WeightTask> {
  const p = new Params();
  const traced = classifierLoss(p, config, settings.batchSize);
  const start = initialWeights(p.specs(), settings.seed);
  const trainer = await Trainer.compile(engine, traced, p.specs(), start, { adamw: settings.adamw });
  return new WeightTask(
    {
      trainer,
      fixed: new Map(),
      batches: async (step) => [await drawShiftedBatch(data, settings, step)],
      describe: (weights, step) => ({
        [CLASSIFIER_METADATA]: JSON.stringify({ config, weights, images: step * settings.batchSize, settings }),
      }),
    },
    settings,
  );
}
