/** The axes of `tinyfusion pareto`: which models, samplers, steps and caches its options name. */
import { basename } from "node:path";
import { InputError } from "../../array/input-error.ts";
import type { ProcessKind } from "../../diffusion/process.ts";
import type { Engine } from "../../engine/engine.ts";
import { requireEqualImages } from "../../evaluation/speed/paired-samples.ts";
import { runOnly } from "../../nn/run-block.ts";
import { parseKept } from "../../pruning/keep-blocks.ts";
import { firstStepWarning, plannedSampling } from "../../sampling/compile-sampler.ts";
import type { SamplingSettings } from "../../sampling/sampling-settings.ts";
import { fileModelSettings, openNamedModel, openOneOfTwo } from "../../tasks/model-settings.ts";
import type { Cell, DepthPoint } from "../../tasks/pareto/grid.ts";
import { chosenSampling, samplingSettings } from "../../tasks/sampling-settings.ts";
import type { SettingTable, Values } from "../../tasks/settings.ts";
import { chosenProcess, samplingProcessSettings, seedSetting, threadsSetting } from "../../tasks/shared-settings.ts";
import { stacksText } from "../../weights/fitting-models.ts";
import type { ModelFile } from "../../weights/model-file.ts";
import type { CommandContext } from "../command.ts";
import { flagOf } from "../flags.ts";
import { judgeOptions } from "./judge.ts";

const { steps: _, sampler: __, cache: ___, cacheCurves: ____, ...otherSamplingOptions } = samplingSettings;

export const paretoOptions = {
  shallow: { kind: "text", help: "files of shallower models, by comma: more points of the depth axis" },
  kept: { kind: "text", help: "more points of that axis: blocks of <model> to run, sets by slash, as 0,2,4/0,4" },
  steps: { kind: "text", help: "by comma, each as `sample` takes it [ddim5,ddim10,ddim25; SiT: 5,13,25; MAR: 4,8,16]" },
  cache: { kind: "text", help: "tolerances of step caching by comma, each as `sample` takes it; 0 is no cache [0]" },
  samplers: { kind: "text", help: "by comma [the sampler that `sample` takes]" },
  ...otherSamplingOptions,
  ...judgeOptions,
  count: { kind: "integer", fallback: 1000, min: 20, help: "images of each cell" },
  rounds: {
    kind: "integer",
    fallback: 5,
    min: 1,
    max: 100,
    help: "times that all cells are timed in turn, a batch each",
  },
  batch: { kind: "integer", fallback: 32, min: 1, help: "images sampled together, as they are timed" },
  out: { kind: "folder", help: "folder; cells that it holds are not computed again" },
  dryRun: { kind: "flag", help: "say how many cells there are and how long they take, by a pilot; writes nothing" },
  seed: seedSetting,
  threads: threadsSetting,
  ...fileModelSettings,
  ...samplingProcessSettings,
} as const satisfies SettingTable;

export type ParetoValues = Values<typeof paretoOptions>;

/** The points of the depth axis: the model, its shallow relatives, and the model with some of its blocks. */
export async function openDepths(values: ParetoValues, { note }: CommandContext, path: string): Promise<DepthPoint[]> {
  const open = values.shallow === undefined ? openNamedModel : openOneOfTwo;
  const first = await open(path, values, note);
  const files: ModelFile[] = [first];
  for (const other of listOf("shallow", values.shallow)) files.push(await openOneOfTwo(other, values, note));
  const sets = values.kept?.split("/").map((text) => parseKept(text, first.model.config.depth)) ?? [];
  const depths = [
    ...files.map((file) => ({ name: `${stacksText(file.model)} blocks`, file })),
    ...sets.map((kept) => ({ name: `${kept.length} of ${first.model.config.depth} blocks`, file: first, kept })),
  ];
  for (const { file } of depths) requireEqualImages("pareto", first, file);
  return depths.map((depth, i) => {
    const isAlone = depths.every(({ name }, other) => other === i || name !== depth.name);
    const name = isAlone ? depth.name : `${depth.name} (${i + 1}: ${basename(depth.file.path)})`;
    return { ...depth, name, process: chosenProcess(values, depth.file.model, depth.file) };
  });
}

const defaultSteps: { readonly [K in ProcessKind]: string } = {
  gaussian: "ddim5,ddim10,ddim25",
  flow: "5,13,25",
  tokens: "4,8,16",
};

/** Every sampler with every number of steps and every tolerance of a cache; no cache is the same as one that is not named. */
export function samplingsOf(
  values: ParetoValues,
  { process, file }: DepthPoint,
  note: (line: string) => void,
): SamplingSettings[] {
  const { cacheImages } = values;
  const own = {
    steps: undefined,
    sampler: undefined,
    cache: undefined,
    cacheImages: undefined,
    cacheCurves: undefined,
  };
  const shared = chosenSampling({ ...values, ...own }, process, file.model.config);
  const samplers = listOf("samplers", values.samplers);
  const tolerances = listOf("cache", values.cache ?? "0").map(toleranceOf);
  if (process.kind === "tokens" && (samplers.length > 0 || tolerances.some((cache) => cache > 0))) {
    throw new InputError("--samplers and --cache say nothing to a MAR, which draws in one way; leave them out");
  }
  const caches = tolerances.map((cache) => (cache === 0 ? {} : { cache, ...(cacheImages && { cacheImages }) }));
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
  throw new InputError(`--cache expects tolerances of at least 0 by comma, as 0,0.1, got ${text}`);
}

/** @throws InputError for an empty or repeated entry. */
function listOf(name: string, text: string | undefined): string[] {
  const parts = text?.split(",").map((part) => part.trim()) ?? [];
  const wrong = parts.find((part, i) => part === "" || parts.indexOf(part) !== i);
  if (wrong === undefined) return parts;
  throw new InputError(
    `${flagOf(name)} expects entries by comma, each once, got ${JSON.stringify(wrong)} in "${text}"`,
  );
}

/** Denoiser evaluations of each cell, found without compiling; settings that do not fit are refused here. */
export async function evaluationsOf(cells: readonly Cell[], engine: Engine): Promise<ReadonlyMap<Cell, number>> {
  const known = new Map<Cell, number>();
  for (const cell of cells) {
    const { file, process, kept } = cell.depth;
    const { cache, sampler } = cell.sampling;
    const request = { engine, model: file.model, weights: file.tensors, seed: cell.common.seed };
    const { modelEvaluations: evaluations } = await plannedSampling(
      { ...request, ...(kept && { runBlock: runOnly(kept) }) },
      process,
      cell.sampling,
    );
    if (cache !== undefined && evaluations === undefined) {
      throw new InputError(`--cache ${cache} needs a fixed number of evaluations, ${sampler} has none; study it apart`);
    }
    known.set(cell, evaluations ?? GUESSED_EVALUATIONS);
  }
  return known;
}

/** Of a sampler whose images decide. */
const GUESSED_EVALUATIONS = 100;
