/** The grid of `pareto`: each model with each sampler, number of steps, step cache and precision is a cell. */

import { createHash } from "node:crypto";
import { basename } from "node:path";
import { InputError } from "../../array/input-error.ts";
import type { Process, ProcessKind } from "../../diffusion/process.ts";
import type { DeviceName } from "../../engine/devices.ts";
import type { Engine } from "../../engine/engine.ts";
import { requireEqualImages } from "../../evaluation/speed/paired-samples.ts";
import { runOnly } from "../../nn/run-block.ts";
import { parseKept } from "../../pruning/keep-blocks.ts";
import { firstStepWarning, plannedSampling } from "../../sampling/compile-sampler.ts";
import {
  cachePlan,
  recordedPrecision,
  type SamplingSettings,
  samplingPrecisions,
} from "../../sampling/sampling-settings.ts";
import { stacksText } from "../../weights/fitting-models.ts";
import type { ModelFile } from "../../weights/model-file.ts";
import { decoderSettings } from "../decoder-settings.ts";
import { featureSettings, referenceSettings } from "../evaluation-settings.ts";
import { fileModelSettings, openNamedModel, openOneOfTwo } from "../model-settings.ts";
import { chosenSampling, samplingSettings } from "../sampling-settings.ts";
import { quoted, required, type SettingTable, type Values } from "../settings.ts";
import { chosenProcess, engineSettings, samplingProcessSettings, seedSetting } from "../shared-settings.ts";

const {
  steps: _,
  sampler: __,
  cache: ___,
  cacheCurves: ____,
  cacheHistory: ______,
  precision: _____,
  ...otherSamplingSettings
} = samplingSettings;

export const paretoSettings = {
  file: { kind: "weights", help: "model" },
  shallow: { kind: "text", help: "files of shallower models, separated by commas" },
  blocks: { kind: "text", help: "sets of blocks to run, separated by slashes, as 0,2,4/0,4" },
  steps: { kind: "text", help: "sampling steps [ddim5,ddim10,ddim25; SiT: 5,13,25; MAR: 4,8,16]" },
  cache: { kind: "text", help: "error tolerances of step caching; 0: none [0]" },
  cacheHistory: { kind: "text", help: "outputs that others are predicted from, as 1,2 [1]" },
  precision: { kind: "text", help: "precisions of linear layers, as float32,int8 [float32]" },
  samplers: { kind: "text", help: "samplers [DiT: ddim; SiT: heun]" },
  ...otherSamplingSettings,
  ...featureSettings,
  reference: referenceSettings.reference,
  keep: referenceSettings.keep,
  ...decoderSettings,
  count: { kind: "integer", fallback: 1000, min: 20, help: "images of each cell" },
  rounds: { kind: "integer", fallback: 5, min: 1, max: 100, help: "timed rounds through all cells" },
  batch: { kind: "integer", fallback: 32, min: 1, help: "images sampled together" },
  out: { kind: "folder", help: "folder; finished cells in it are not computed again" },
  seed: seedSetting,
  ...engineSettings,
  ...fileModelSettings,
  ...samplingProcessSettings,
} as const satisfies SettingTable;

export type ParetoValues = Values<typeof paretoSettings>;

/** A model, or some of its blocks. */
export interface DepthPoint {
  /** Its name in charts and tables: "14 blocks". */
  readonly name: string;
  readonly file: ModelFile;
  readonly process: Process;
  /** The blocks that run, if not all of them. */
  readonly kept?: readonly number[];
}

/** What the scores depend on. Cells that differ in it are not compared. */
export interface Judgement {
  /** FD-digits, FID. */
  readonly metric: string;
  /** Network, reference, autoencoder. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** What all cells share. It is part of their identity, so names and order stay. */
export interface ParetoCommon {
  readonly seed: number;
  /** Images of each cell. */
  readonly count: number;
  /** Images sampled together. */
  readonly batch: number;
  readonly threads: number;
  /** Absent for the CPU. */
  readonly device?: DeviceName;
  readonly judgement: Judgement;
}

export interface Cell {
  /** The name of its file: short words, and a hash of all that its numbers depend on. */
  readonly id: string;
  readonly depth: DepthPoint;
  readonly sampling: SamplingSettings;
  readonly common: ParetoCommon;
}

/** All cells; those of one sampling are neighbours, so that a machine that slows down does not slow one depth more. */
export function paretoCells(
  { depths, samplings }: { readonly depths: readonly DepthPoint[]; readonly samplings: readonly SamplingSettings[] },
  common: ParetoCommon,
): Cell[] {
  return samplings.flatMap((sampling) =>
    depths.map((depth) => ({ id: cellId(depth, sampling, common), depth, sampling, common })),
  );
}

function cellId({ file, kept, process }: DepthPoint, sampling: SamplingSettings, common: ParetoCommon): string {
  const blocks = kept?.length ?? file.model.config.depth;
  const ordered = Object.entries(sampling).sort(([a], [b]) => (a < b ? -1 : 1));
  const identity = [file.sha256, file.weights, file.model.config, kept ?? null, process, ordered, common];
  const hash = createHash("sha256").update(JSON.stringify(identity)).digest("hex").slice(0, 10);
  const cache = sampling.cache === undefined ? undefined : `c${sampling.cache}`;
  const words = [`d${blocks}`, sampling.sampler, sampling.steps, cache, sampling.precision].filter(
    (word) => word !== undefined,
  );
  return `${words.map((word) => word.replaceAll(/[^a-z0-9+.]+/gi, "-")).join("_")}_${hash}`;
}

/** What samplers of a cell are compiled from, but for the batch. */
export function samplerRequest(
  { depth: { file, kept }, common: { seed } }: Cell,
  engine: Engine,
  signal?: AbortSignal,
) {
  const some = kept && { runBlock: runOnly(kept) };
  return { engine, model: file.model, weights: file.tensors, seed, ...some, ...(signal && { signal }) };
}

/** The points of the depth axis: the model, shallower ones, and the model with some of its blocks. */
export async function openDepths(values: ParetoValues, note: (line: string) => void): Promise<DepthPoint[]> {
  const open = values.shallow === undefined ? openNamedModel : openOneOfTwo;
  const first = await open(required("file", values.file), values, note);
  const files: ModelFile[] = [first];
  for (const other of listOf("shallow", values.shallow)) files.push(await openOneOfTwo(other, values, note));
  const { depth } = first.model.config;
  const sets = values.blocks?.split("/").map((text) => parseKept(text, depth)) ?? [];
  const depths = [
    ...files.map((file) => ({ name: `${stacksText(file.model)} blocks`, file })),
    ...sets.map((kept) => ({ name: `${kept.length} of ${depth} blocks`, file: first, kept })),
  ];
  for (const { file } of depths) requireEqualImages("pareto", first, file);
  return depths.map((point, i) => {
    const isAlone = depths.every(({ name }, other) => other === i || name !== point.name);
    const name = isAlone ? point.name : `${point.name} (${i + 1}: ${basename(point.file.path)})`;
    return { ...point, name, process: chosenProcess(values, point.file.model, point.file) };
  });
}

const defaultSteps: { readonly [K in ProcessKind]: string } = {
  gaussian: "ddim5,ddim10,ddim25",
  flow: "5,13,25",
  tokens: "4,8,16",
};

/** Every sampler with every number of steps, tolerance of a cache (0 is none) and precision. */
export function samplingsOf(
  values: ParetoValues,
  { process, file }: DepthPoint,
  note: (line: string) => void,
): SamplingSettings[] {
  const { cacheImages } = values;
  const axes = {
    steps: undefined,
    sampler: undefined,
    precision: undefined,
    cache: undefined,
    cacheImages: undefined,
    cacheCurves: undefined,
    cacheHistory: undefined,
  };
  const shared = chosenSampling({ ...values, ...axes }, process, file.model.config);
  const samplers = listOf("samplers", values.samplers);
  const tolerances = listOf("cache", values.cache ?? "0").map(toleranceOf);
  if (process.kind === "tokens" && (samplers.length > 0 || tolerances.some((cache) => cache > 0))) {
    throw new InputError("`samplers` and `cache` do not apply to a MAR, which has one sampler; leave them out");
  }
  const precisions = listOf("precision", values.precision ?? "float32").map(precisionOf);
  const histories = listOf("cacheHistory", values.cacheHistory ?? "1").map(Number);
  const shown = cacheImages ? { cacheImages } : {};
  const caching: SamplingSettings[] = tolerances.flatMap((cache) =>
    cache === 0 ? [{}] : histories.map((past) => ({ cache, ...shown, ...(past !== 1 && { cacheHistory: past }) })),
  );
  for (const cache of caching) cachePlan(cache);
  const caches = caching.flatMap((cache) => precisions.map((low) => ({ ...low, ...cache })));
  const named = samplers.length > 0 ? samplers.map((sampler) => ({ sampler })) : [{}];
  const steps = listOf("steps", values.steps ?? defaultSteps[process.kind]);
  const warnings = steps.map((some) => firstStepWarning(process, { ...shared, steps: some }));
  for (const warning of new Set(warnings)) if (warning !== undefined) note(warning);
  return named.flatMap((sampler) =>
    steps.flatMap((some) => caches.map((cache) => ({ ...shared, ...sampler, steps: some, ...cache }))),
  );
}

function toleranceOf(text: string): number {
  const cache = Number(text);
  if (text !== "" && Number.isFinite(cache) && cache >= 0) return cache;
  throw new InputError(`\`cache\` expects tolerances of at least 0 by comma, as 0,0.1, got ${text}`);
}

function precisionOf(text: string): Pick<SamplingSettings, "precision"> {
  const known = samplingPrecisions.find((name) => name === text);
  if (known) return recordedPrecision(known);
  throw new InputError(`\`precision\` expects some of ${samplingPrecisions.join(", ")} by comma, got ${text}`);
}

/** @throws InputError for an empty or repeated entry. */
function listOf(name: string, text: string | undefined): string[] {
  const parts = text?.split(",").map((part) => part.trim()) ?? [];
  const wrong = parts.find((part, i) => part === "" || parts.indexOf(part) !== i);
  if (wrong === undefined) return parts;
  throw new InputError(
    `${quoted(name)} expects entries by comma, each once, got ${JSON.stringify(wrong)} in "${text}"`,
  );
}

/** Assumed for a sampler whose number of evaluations depends on the images. */
const ASSUMED_EVALUATIONS = 100;

/** Model evaluations of a batch of each cell, without compiling. @throws InputError for settings that do not fit. */
export async function evaluationsOf(cells: readonly Cell[], engine: Engine): Promise<ReadonlyMap<Cell, number>> {
  const known = new Map<Cell, number>();
  for (const cell of cells) {
    const { cache, sampler } = cell.sampling;
    const planned = await plannedSampling(samplerRequest(cell, engine), cell.depth.process, cell.sampling);
    if (cache !== undefined && planned.modelEvaluations === undefined) {
      throw new InputError(
        `\`cache\` ${cache} needs a fixed number of evaluations, ${sampler} has none; leave one of the two out`,
      );
    }
    known.set(cell, planned.modelEvaluations ?? ASSUMED_EVALUATIONS);
  }
  return known;
}
