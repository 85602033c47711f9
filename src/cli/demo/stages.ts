/** The demo's stages, each leaving files that a second run finds. */
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { int32, type NDArray } from "../../array/ndarray.ts";
import type { TrainingSet } from "../../data/training-set.ts";
import type { Engine } from "../../engine/engine.ts";
import { type DigitEvaluation, scoreDigits } from "../../evaluation/scores/digit-scores.ts";
import { decodeSafetensors, encodeSafetensors } from "../../formats/safetensors.ts";
import { type DecisionFile, learnedDecision } from "../../pruning/decision.ts";
import { gateGroups } from "../../pruning/draw-mask.ts";
import { parseGroups } from "../../pruning/groups.ts";
import { savePruned } from "../../pruning/keep-blocks.ts";
import { layerMap } from "../../pruning/layer-map.ts";
import { learnMasks } from "../../pruning/learn.ts";
import { type Generated, generate } from "../../sampling/generate.ts";
import { writeAtomically } from "../../storage/atomic-write.ts";
import { type FileChecksum, requireChecksum, writeWithChecksum } from "../../storage/checksums.ts";
import { readSealed, sealed } from "../../storage/json.ts";
import { exists, readBytes } from "../../storage/read.ts";
import { versions } from "../../tasks/version.ts";
import { finetuneTask } from "../../training/finetune.ts";
import { type LoopHooks, runLoop, type Task } from "../../training/loop.ts";
import { type MetricsLine, RunFolder } from "../../training/run-folder.ts";
import { type LoadedModel, loadModel } from "../../weights/model-file.ts";
import type { CommandContext } from "../command.ts";
import { type DemoSize, type FamilyPlan, groupsText, recoverySettings, searchSettings } from "./plan.ts";

/** What every stage works with. */
export interface Demo {
  readonly out: string;
  readonly plan: FamilyPlan;
  readonly size: DemoSize;
  readonly seed: number;
  readonly engine: Engine;
  readonly threads: number;
  readonly teacher: LoadedModel;
  readonly data: TrainingSet;
  readonly context: CommandContext;
}

/** Thrown between steps when the user stops the demo; a second run goes on from there. */
export class Stopped extends Error {}

/** A stage's result with the seconds it took. */
export interface Timed<T> {
  readonly value: T;
  /** Over all resumes. */
  readonly seconds: number;
  /** In this process. */
  readonly secondsHere: number;
}

/** Runs a stage to its end; returns the seconds spent in this process. */
async function runStage(
  demo: Demo,
  name: string,
  settings: { steps: number },
  task: Task,
  hooks: LoopHooks,
  folder: RunFolder,
): Promise<number> {
  const { signal } = demo.context;
  const steps = settings.steps;
  const loop = {
    steps,
    logEvery: Math.max(1, Math.floor(steps / 40)),
    saveEvery: 100,
    keepCheckpoints: 1,
    onNan: "stop" as const,
  };
  const result = await runLoop(task, folder, loop, {
    onStart: (step) => {
      if (step > 0 && step < steps) demo.context.note(`${name}: resumed at step ${step}`);
    },
    onProgress: (progress) => demo.context.progress(progress),
    onWarning: (line) => demo.context.note(line),
    signal,
    ...hooks,
  });
  if (!result.finished) throw new Stopped();
  return result.seconds;
}

/** Seconds a run spent in its steps, over all resumes. */
const secondsOf = (metrics: readonly MetricsLine[]): number => Number(metrics.at(-1)?.seconds ?? 0);

/** Learns which blocks to keep and writes `decision.json` and `pruned.safetensors`. */
export async function search(demo: Demo): Promise<Timed<DecisionFile> & { metrics: MetricsLine[]; pruned: string }> {
  const { out, size, seed, engine, teacher, data, context } = demo;
  const { family, config } = teacher.model;
  const { depth } = config;
  const stacks = family.stacks(config);
  const groups = parseGroups(groupsText, stacks);
  const folder = RunFolder.open(join(out, "search"));
  try {
    const settings = searchSettings(size, seed, teacher);
    await folder.acquire({
      command: "demo search",
      ...settings,
      threads: demo.threads,
      parent: teacher.sha256,
      dataSha256: data.sha256,
      versions: versions(),
    });
    const { learning, trainer } = await learnMasks(engine, teacher, groups, data, settings);
    const every = Math.max(1, Math.floor(settings.steps / 10));
    const secondsHere = await runStage(
      demo,
      "search",
      settings,
      learning,
      {
        afterStep: (step) => {
          if (step % every === 0) context.note(decisionLine(step, learning.decision(step).kept, depth, learning.flips));
        },
      },
      folder,
    ).finally(() => trainer.release());
    const decision = learnedDecision(learning, gateGroups(groups), depth, settings.steps);
    await writeAtomically(join(out, "decision.json"), `${JSON.stringify(sealed(decision), null, 1)}\n`);
    const pruned = join(out, "pruned.safetensors");
    await savePruned(pruned, teacher, {
      kept: decision.kept,
      groups,
      layerMap: layerMap("paper", stacks, decision.kept, groups),
    });
    const metrics = folder.metrics();
    return { value: decision, seconds: secondsOf(metrics), secondsHere, metrics, pruned };
  } finally {
    folder.close();
  }
}

/** The decision as a row of blocks: `█·█··█`. */
function decisionLine(step: number, kept: readonly number[], depth: number, flips: readonly number[]): string {
  const set = new Set(kept);
  const row = Array.from({ length: depth }, (_, i) => (set.has(i) ? "█" : "·")).join("");
  return `  after ${String(step).padStart(3)} steps keep ${row}  last change ${flips.at(-1) ?? "none"}`;
}

/** The recovered model: averaged and raw weights. */
export interface Recovered {
  readonly ema: LoadedModel;
  readonly raw: LoadedModel;
  readonly emaPath: string;
}

/** Fine-tunes the pruned model with masked distillation. */
export async function recover(demo: Demo, pruned: LoadedModel): Promise<Timed<Recovered> & { metrics: MetricsLine[] }> {
  const { out, plan, size, seed, engine, teacher, data } = demo;
  const folder = RunFolder.open(join(out, "recovery"));
  try {
    const settings = recoverySettings(size, seed, pruned, plan);
    const files = { student: pruned.sha256, teacher: teacher.sha256, dataSha256: data.sha256 };
    const facts = { ...files, threads: demo.threads, versions: versions() };
    await folder.acquire({ command: "demo recovery", ...settings, ...facts });
    const task = await finetuneTask(engine, pruned, teacher, data, settings);
    const secondsHere = await runStage(demo, "recovery", settings, task, {}, folder).finally(() => task.release());
    const file = (name: string) => join(folder.checkpointPath(settings.steps), `${name}.safetensors`);
    const metrics = folder.metrics();
    const value = { ema: await loadModel(file("ema")), raw: await loadModel(file("weights")), emaPath: file("ema") };
    return { value, seconds: secondsOf(metrics), secondsHere, metrics };
  } finally {
    folder.close();
  }
}

/** Samples and their scores. */
export interface Sampled {
  readonly images: NDArray<"float32">;
  readonly evaluation: DigitEvaluation;
  readonly iterationsPerSecond: number;
  readonly secondsPerImage: number;
  readonly settings: Generated["settings"];
}

interface SampleFacts {
  readonly seconds: number;
  readonly iterationsPerSecond: number;
  readonly secondsPerImage: number;
  /** Of the sampler. */
  readonly settings: Generated["settings"];
  readonly sha256: string;
  /** Of the file of the images; absent before there were checksums. */
  readonly samples?: FileChecksum;
}

/** Samples a model from the demo's noise, or finds the samples a run before has made, and scores them. */
export async function sampleAndScore(demo: Demo, name: string, file: LoadedModel): Promise<Timed<Sampled>> {
  const { out, engine } = demo;
  const path = join(out, "samples", name);
  const known = await drawnBefore(demo, path, file);
  const isDrawn = known !== undefined;
  const facts = known ?? (await drawSamples(demo, path, name, file));
  const { tensors } = decodeSafetensors(readBytes(`${path}.safetensors`), path);
  const images = tensors.get("images") as NDArray<"float32">;
  const labels = tensors.get("labels")!.data as Int32Array;
  const evaluation = await scoreDigits({ engine, images, labels });
  const { seconds, iterationsPerSecond, secondsPerImage, settings } = facts;
  return {
    seconds,
    secondsHere: isDrawn ? 0 : seconds,
    value: { images, evaluation, iterationsPerSecond, secondsPerImage, settings },
  };
}

/** What is known of samples that a run before has made of this file; undefined if there are none, or they are damaged. */
async function drawnBefore({ context }: Demo, path: string, file: LoadedModel): Promise<SampleFacts | undefined> {
  if (!exists(`${path}.json`)) return undefined;
  try {
    const facts = readSealed(`${path}.json`) as SampleFacts | null;
    if (facts?.sha256 !== file.sha256) return undefined;
    await requireChecksum(`${path}.safetensors`, facts.samples);
    return facts;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    context.note(`${error.message}; sampling again`);
    return undefined;
  }
}

async function drawSamples({ size, seed, engine, context }: Demo, path: string, name: string, file: LoadedModel) {
  context.note(`sampling ${size.images} digits: ${name}`);
  const { images, labels, seconds, iterationsPerSecond, secondsPerImage, settings } = await generate({
    engine,
    model: file.model,
    weights: file.tensors,
    labels: size.images,
    seed,
    ...size.sampling,
    process: file.process,
    signal: context.signal,
  }).catch((error: unknown) => {
    throw context.signal.aborted ? new Stopped() : error;
  });
  const tensors = new Map<string, NDArray>([
    ["images", images],
    ["labels", int32(labels)],
  ]);
  const samples = await writeWithChecksum(`${path}.safetensors`, encodeSafetensors(tensors));
  const numbers = { seconds, iterationsPerSecond, secondsPerImage, settings, sha256: file.sha256 };
  const facts: SampleFacts = { ...numbers, samples };
  await writeAtomically(`${path}.json`, `${JSON.stringify(sealed(facts))}\n`);
  return facts;
}
