/** One cell: its images are sampled and scored, and the result is a file of its own. */
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { zeros } from "../../array/ndarray.ts";
import type { Engine } from "../../engine/engine.ts";
import { countingEngine, modelCost } from "../../evaluation/speed/model-cost.ts";
import { type Machine, machineNow } from "../../evaluation/speed/timing.ts";
import { runOnly } from "../../nn/run-block.ts";
import { balancedLabels, batchSampler } from "../../sampling/sample-images.ts";
import { writeAtomically } from "../../storage/atomic-write.ts";
import { readSealed, sealed } from "../../storage/json.ts";
import { exists } from "../../storage/read.ts";
import { type Cell, samplerRequest } from "./grid.ts";
import type { Score, Scorer } from "./scorer.ts";

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
  /** Tracing, building sessions and a cache's calibration: once per sampler, so not to compare by. */
  readonly compileSeconds: number;
  /** Multiply-accumulates of one image, with all evaluations. */
  readonly macsPerImage: number;
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
}

/** Seconds of an image over all rounds. */
export interface CellSeconds {
  readonly median: number;
  readonly least: number;
  readonly most: number;
  readonly rounds: number;
}

/** A cell with its times. */
export interface TimedCell extends CellResult {
  /** The median of its seconds. */
  readonly secondsPerImage: number;
  readonly seconds: CellSeconds;
  /** The id of the cell that does the same work, if another one does. */
  readonly sameWorkAs?: string;
}

/** One batch of one cell, timed. */
export interface CellTime {
  readonly cell: string;
  readonly round: number;
  /** Identifies the cells that were timed in turn with it; absent in files of earlier versions. */
  readonly pass?: string;
  readonly secondsPerImage: number;
  readonly machine: Machine;
}

/** A cell that is to be timed. */
export interface Turn {
  readonly cell: Cell;
  readonly round: number;
}

export interface CellsRequest {
  readonly engine: Engine;
  readonly scorer: Scorer;
  readonly versions: Readonly<Record<string, string>>;
  readonly out: string;
  readonly cells: readonly Cell[];
  /** Timed rounds. */
  readonly rounds: number;
  readonly signal?: AbortSignal;
  /** Called before and after each cell that is computed; `result` is there after. */
  readonly onCell?: (cell: Cell, at: number, result?: CellResult) => void;
  /** Called after each measurement with what is left. */
  readonly onTime?: (time: CellTime, left: readonly Turn[]) => void;
  /** Called with the reason before times are discarded. */
  readonly onStartOver?: (why: string) => void;
}

const pathOf = (out: string, { id }: Cell): string => join(out, "cells", `${id}.json`);

/**
 * The result of a finished cell, if there is one. Files of earlier versions hold a time too, taken at another moment than
 * the others: it is left out.
 * @throws InputError for a file that holds no such cell.
 */
export function storedCell(out: string, cell: Cell): CellResult | undefined {
  const path = pathOf(out, cell);
  if (!exists(path)) return undefined;
  const found = readSealed(path, "remove the file to compute it again") as CellResult | null;
  if (found?.id !== cell.id || !Number.isFinite(found.score?.estimate))
    throw new InputError(`${path}: expected the result of cell ${cell.id}, found another content; remove the file`);
  const { id, model, settings, derived, metric, judgedBy, score, compileSeconds, macsPerImage, machine, versions } =
    found;
  return { id, model, settings, derived, metric, judgedBy, score, compileSeconds, macsPerImage, machine, versions };
}

/** Computes a cell and writes its file. @throws the signal's reason if aborted, and then writes nothing. */
export async function runCell(cell: Cell, request: CellsRequest): Promise<CellResult> {
  const { depth, common } = cell;
  const { file, kept, process } = depth;
  const { model, path, sha256, weights, images: seen } = file;
  const { images, labels, settings, ...found } = await sampled(cell, request);
  const { scorer, signal, versions, out } = request;
  const score = await scorer.score(images, labels);
  signal?.throwIfAborted();
  const result: CellResult = {
    id: cell.id,
    model: {
      name: depth.name,
      path,
      sha256,
      weights,
      images: seen,
      blocks: kept?.length ?? model.config.depth,
      ...(kept && { kept }),
      parameters: modelCost(model, kept && runOnly(kept)).parameters,
    },
    settings: { ...settings, seed: common.seed, count: common.count, batch: common.batch, process },
    metric: scorer.metric,
    judgedBy: scorer.facts,
    score,
    ...found,
    machine: machineNow(common.threads, common.device),
    versions,
  };
  await writeAtomically(pathOf(out, cell), `${JSON.stringify(sealed(result), null, 2)}\n`);
  return result;
}

/** The images of a cell, classes in turn, and the arithmetic of sampling them. */
async function sampled(cell: Cell, { engine: own, signal }: CellsRequest) {
  const { depth, sampling, common } = cell;
  const { inChannels, inputSize, numClasses } = depth.file.model.config;
  const engine = countingEngine(own);
  const started = performance.now();
  const sampler = await batchSampler({
    ...samplerRequest(cell, engine, signal),
    process: depth.process,
    internalBatch: common.batch,
    ...sampling,
  });
  const compileSeconds = (performance.now() - started) / 1000;
  const macsBefore = engine.count.macs; // of a cache's calibration
  const labels = balancedLabels(common.count, numClasses);
  const all = zeros("float32", [common.count, inChannels, inputSize, inputSize]);
  let batches = 0;
  try {
    for await (const { images, first } of sampler.sample(0, labels, () => signal?.throwIfAborted())) {
      all.data.set(images.data, (first * all.size) / common.count);
      batches++;
    }
  } finally {
    await sampler.release();
  }
  const { settings, derived } = sampler;
  const macsPerImage = (engine.count.macs - macsBefore) / (batches * common.batch);
  return { images: all, labels, settings, derived, compileSeconds, macsPerImage };
}
