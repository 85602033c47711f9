/** One cell of a study: its images are drawn and judged, and what was found is a file of its own. */
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { zeros } from "../../array/ndarray.ts";
import type { Engine } from "../../engine/engine.ts";
import { countingEngine, modelCost } from "../../evaluation/speed/model-cost.ts";
import { type Machine, machineNow } from "../../evaluation/speed/timing.ts";
import { runOnly } from "../../nn/run-block.ts";
import { balancedLabels, batchSampler } from "../../sampling/generate.ts";
import { writeAtomically } from "../../storage/atomic-write.ts";
import { readSealed, sealed } from "../../storage/json.ts";
import { exists } from "../../storage/read.ts";
import type { Cell } from "./grid.ts";
import type { Score, Scorer } from "./score.ts";

/** The content of a cell's file. All but the seconds, the machine and the versions follows from the settings. */
export interface CellResult {
  readonly id: string;
  readonly model: {
    readonly name: string;
    readonly path: string;
    readonly sha256: string;
    readonly weights: "raw" | "ema";
    readonly images: number;
    /** Blocks that ran. */
    readonly blocks: number;
    readonly kept?: readonly number[];
    readonly parameters: number;
  };
  readonly settings: Readonly<Record<string, unknown>>;
  readonly derived: Readonly<Record<string, unknown>>;
  readonly metric: string;
  /** What the metric depends on: network, reference, autoencoder. */
  readonly judgedBy: Readonly<Record<string, unknown>>;
  readonly score: Score;
  /** Tracing, building sessions, and what a sampler measures of its model before it draws; once, so not to compare by. */
  readonly compileSeconds: number;
  /** Multiply-accumulates of one image, with all evaluations. */
  readonly macsPerImage: number;
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
}

export interface CellRequest {
  readonly engine: Engine;
  readonly scorer: Scorer;
  readonly versions: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

const pathOf = (out: string, { id }: Cell): string => join(out, "cells", `${id}.json`);

/**
 * The result of a cell that was done before; undefined if it was not. What else its file says is passed over: files of
 * earlier versions hold a time of their own, taken at another moment than the others.
 * @throws InputError for a file that holds no such cell.
 */
export function storedCell(out: string, cell: Cell): CellResult | undefined {
  const path = pathOf(out, cell);
  if (!exists(path)) return undefined;
  const found = readSealed(path, "remove the file to compute it again") as Partial<CellResult> | null;
  if (found?.id === cell.id && Number.isFinite(found.score?.estimate)) return asNow(found as CellResult);
  throw new InputError(`${path}: expected the result of cell ${cell.id}, found another content; remove the file`);
}

/** What a file says that is still asked for. */
function asNow({ id, model, settings, derived, metric, judgedBy, score, ...rest }: CellResult): CellResult {
  const { compileSeconds, macsPerImage, machine, versions } = rest;
  return { id, model, settings, derived, metric, judgedBy, score, compileSeconds, macsPerImage, machine, versions };
}

/** Computes a cell and writes its file. @throws the signal's reason if aborted, and then writes nothing. */
export async function runCell(out: string, cell: Cell, request: CellRequest): Promise<CellResult> {
  const { depth, common } = cell;
  const { file, kept, process } = depth;
  const { model, path, sha256, weights, images: seen } = file;
  const { images, labels, settings, ...found } = await drawn(cell, request);
  const score = await request.scorer.score(images, labels);
  request.signal?.throwIfAborted();
  const result: CellResult = {
    id: cell.id,
    model: {
      ...{ name: depth.name, path, sha256, weights, images: seen },
      blocks: kept?.length ?? model.config.depth,
      ...(kept && { kept }),
      parameters: modelCost(model, kept && runOnly(kept)).parameters,
    },
    settings: { ...settings, seed: common.seed, count: common.count, batch: common.batch, process },
    metric: request.scorer.metric,
    judgedBy: request.scorer.facts,
    score,
    ...found,
    machine: machineNow(common.threads),
    versions: request.versions,
  };
  await writeAtomically(pathOf(out, cell), `${JSON.stringify(sealed(result), null, 2)}\n`);
  return result;
}

/** The images of a cell, classes in turn, and the arithmetic that drawing them took. */
async function drawn({ depth, sampling, common }: Cell, { engine: own, signal }: CellRequest) {
  const { file, kept, process } = depth;
  const { model, tensors } = file;
  const engine = countingEngine(own);
  const started = performance.now();
  const drawer = await batchSampler({
    ...{ engine, model, weights: tensors, process, seed: common.seed, internalBatch: common.batch },
    ...(kept && { runBlock: runOnly(kept) }),
    ...(signal && { signal }),
    ...sampling,
  });
  const compileSeconds = (performance.now() - started) / 1000;
  const macsBefore = engine.count.macs; // of measurements that a sampler makes of its model
  const labels = balancedLabels(common.count, model.config.numClasses);
  const { inChannels, inputSize } = model.config;
  const all = zeros("float32", [common.count, inChannels, inputSize, inputSize]);
  let batches = 0;
  try {
    for await (const { images, first } of drawer.sample(0, labels, () => signal?.throwIfAborted())) {
      all.data.set(images.data, (first * all.size) / common.count);
      batches++;
    }
  } finally {
    await drawer.release();
  }
  const { settings, derived } = drawer;
  const macsPerImage = (engine.count.macs - macsBefore) / (batches * common.batch);
  return { images: all, labels, settings, derived, compileSeconds, macsPerImage };
}
