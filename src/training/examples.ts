/** The random part of a training batch: every draw is a function of (seed, step, example), fed to a pure graph. */
import { InputError } from "../array/input-error.ts";
import { float32, NDArray } from "../array/ndarray.ts";
import { normalRows, uniforms } from "../array/random.ts";
import { exampleIndices, type RowKey, rowKey, type TrainingSet } from "../data/training-set.ts";
import { requireNullClass } from "../models/family.ts";
import type { Model } from "../models/registry.ts";

export interface DrawSettings {
  readonly seed: number;
  readonly batchSize: number;
  /** Rows of one run of the graph; the last micro-batch is padded with rows of weight 0. */
  readonly microBatch: number;
  /** Probability of replacing a label by the null class. */
  readonly labelDrop: number;
}

/** @throws InputError for labels that are to be dropped where the model has no null class. */
export function requireLabels({ config }: Model, { labelDrop }: Pick<DrawSettings, "labelDrop">): void {
  if (labelDrop > 0) requireNullClass(config, `a labelDrop of ${labelDrop}`, "set it to 0");
}

/** One micro-batch: its examples, and a key for each row's further draws. */
export interface DrawnExamples {
  readonly feeds: {
    readonly xStart: NDArray<"float32">;
    readonly y: NDArray<"int32">;
    /** 1/batchSize; 0 for padding. */
    readonly weight: NDArray<"float32">;
  };
  readonly keys: readonly RowKey[];
}

/**
 * The examples of global step k with their labels, some dropped, in micro-batches. A dropped label is the model's own
 * null class, whatever classes the data have.
 * @throws InputError for examples that are no input of the model.
 */
export async function drawExamples(
  { config }: Model,
  data: TrainingSet,
  settings: DrawSettings,
  step: number,
): Promise<DrawnExamples[]> {
  const { seed, batchSize, microBatch } = settings;
  requireShape(config, data);
  const examples = exampleIndices({ seed, size: data.size, globalStep: step, batchSize });
  const batches: DrawnExamples[] = [];
  for (let first = 0; first < batchSize; first += microBatch) {
    batches.push(await drawMicroBatch(config, data, settings, step, examples, first));
  }
  return batches;
}

type Config = Model["config"];

function requireShape({ inChannels, inputSize }: Config, { shape }: TrainingSet): void {
  const expected = [inChannels, inputSize, inputSize];
  if (expected.every((size, axis) => size === shape[axis])) return;
  throw new InputError(`examples are ${shape.join(" × ")}, the model takes ${expected.join(" × ")}`);
}

async function drawMicroBatch(
  { numClasses }: Config,
  data: TrainingSet,
  { seed, batchSize, microBatch: n, labelDrop }: DrawSettings,
  step: number,
  examples: Int32Array,
  first: number,
): Promise<DrawnExamples> {
  const indices = Array.from({ length: n }, (_, row) => Math.min(first + row, batchSize - 1));
  const keys = indices.map((index) => rowKey(seed, step, index));
  const { images, labels } = await data.read(
    Int32Array.from(indices, (index) => examples[index]!),
    keys,
  );
  const unknown = labels.find((label) => !(label >= 0 && label < numClasses));
  if (unknown !== undefined)
    throw new InputError(`an example has the label ${unknown}, the model has classes 0 to ${numClasses - 1}`);
  const y = labels.map((label, row) => {
    const isDropped = labelDrop > 0 && uniforms(keys[row]!("label drop"), 1)[0]! < labelDrop;
    return isDropped ? numClasses : label;
  });
  const weight = Float32Array.from(keys, (_, row) => (first + row < batchSize ? 1 / batchSize : 0));
  return { feeds: { xStart: images, y: new NDArray("int32", [n], y), weight: float32(weight) }, keys };
}

/** The noise of each row of a tensor of this shape. */
export const drawNoise = (keys: readonly RowKey[], shape: readonly number[]): NDArray<"float32"> =>
  normalRows(
    shape,
    keys.map((key) => key("noise")),
  );

/** `draw`, called for step k + 1 as soon as step k is requested; nothing is drawn beyond the last of `steps` steps. */
export function oneAhead<T>(draw: (step: number) => Promise<T>, steps: number): (step: number) => Promise<T> {
  let next: { step: number; drawn: Promise<T> } | undefined;
  return async (step) => {
    const drawn = next?.step === step ? next.drawn : draw(step);
    next = undefined;
    const batch = await drawn;
    if (step + 1 < steps) {
      next = { step: step + 1, drawn: draw(step + 1) };
      next.drawn.catch(() => undefined); // thrown to the caller that requests this step, if any
    }
    return batch;
  };
}
