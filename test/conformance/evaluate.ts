/** A row's loss as a graph through its objective, and graphs as numbers. */
import type { NDArray } from "../../src/array/ndarray.ts";
import { type NamedArrays, runAndRead } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { gradient } from "../../src/graph/gradient.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { Params, trainable } from "../../src/nn/params.ts";
import type { RunBlock } from "../../src/nn/run-block.ts";
import { type Terms, tracedLoss } from "../../src/training/objective.ts";
import { objectiveOf } from "../../src/training/objectives.ts";
import { data, type Row } from "./models.ts";

export const engine = cpuEngine({ threads: 1 });

/** Examples of a step. */
export const BATCH = 5;

/** The feeds of one step in micro-batches, about half of the labels dropped. */
export const drawBatches = ({ model, process }: Row, microBatch: number, batchSize = BATCH): Promise<NamedArrays[]> =>
  objectiveOf(process).draw(model, data, { seed: 4, batchSize, microBatch, labelDrop: 0.5 }, 3);

/** The loss of each example [N] and its parts, with the weights it was traced with. */
export function termsOf({ model, process }: Row, runBlock?: RunBlock, isTraining = true): { terms: Terms; p: Params } {
  const p = new Params();
  const objective = objectiveOf(process);
  const traced = { model, p, isTraining, ...(runBlock && { runBlock }) };
  return { p, terms: objective.loss(traced, objective.inputs(model, BATCH)) };
}

/** The terms and the gradient of every weight, by name. */
export function lossAndGradients(row: Row, runBlock?: RunBlock): Record<string, Tensor> {
  const { p, terms } = termsOf(row, runBlock);
  const { loss } = tracedLoss(terms, objectiveOf(row.process).inputs(row.model, BATCH), p);
  const names = trainable(p.specs()).map(({ name }) => name);
  const gradients = gradient(
    loss,
    names.map((name) => p.tensor(name)),
  );
  return { ...terms, ...Object.fromEntries(names.map((name, i) => [`d ${name}`, gradients[i]!])) };
}

/** The outputs of a graph for the row's own weights and its first batch. */
export async function compute(
  row: Row,
  outputs: Readonly<Record<string, Tensor>>,
  feeds: NamedArrays = {},
): Promise<Record<string, NDArray>> {
  const session = await engine.compile({ outputs });
  const [batch] = await drawBatches(row, BATCH);
  const results = await runAndRead(session, { ...Object.fromEntries(row.weights), ...batch, ...feeds });
  await session.release();
  return results;
}

/** The largest magnitude in an array. */
export const largest = ({ data }: Pick<NDArray, "data">): number =>
  Array.from(data as Float32Array).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
