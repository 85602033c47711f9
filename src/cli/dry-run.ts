/** `--dry-run`: what a run would do, cost and take, found by building it and trying a few steps; nothing is written. */
import { totalmem } from "node:os";
import { join } from "node:path";
import type { Process } from "../diffusion/process.ts";
import { type Compiled, type LazyEngine, lazyEngine } from "../engine/lazy-engine.ts";
import { cpuLowering } from "../engine/onnx/cpu-lowering.ts";
import { simplified } from "../engine/onnx/lowering.ts";
import { cpuEngine } from "../engine/onnx/node-engine.ts";
import { median } from "../evaluation/speed/timing.ts";
import { leavesOf, nodesOf } from "../graph/graph.ts";
import { graphCost, type RowCount } from "../graph/graph-cost.ts";
import type { Model } from "../models/registry.ts";
import { exists, readJson } from "../storage/read.ts";
import { microBatchOf } from "../tasks/shared-settings.ts";
import { checkpointSteps } from "../training/checkpoint-folder.ts";
import { NonFiniteError, type Task } from "../training/loop.ts";
import { objectiveOf } from "../training/objectives.ts";
import type { SchedulePlan } from "../training/rates.ts";
import { type Extension, extensionOf, type RunSettings } from "../training/run-settings.ts";
import type { CommandContext } from "./command.ts";
import { extensionText } from "./extension-text.ts";
import { memoryPlan, memoryText, totalOf } from "./memory-plan.ts";
import { duration } from "./progress.ts";
import { bytesText, grouped, tableLines } from "./table.ts";

/** What a command says of its run beyond the settings. */
export interface Planned {
  /** Examples of the data. */
  readonly examples: number;
  /** Rows about the model. */
  readonly rows: readonly (readonly [string, string])[];
  /** Numbers that training changes; asked once the task is built. */
  readonly trained: () => number;
  /** The model and its process, where it is one that diffuses. */
  readonly of?: { readonly model: Model; readonly process: Process };
  /** Rows of blocks, where those change from step to step: expected values. */
  readonly expectedRows?: RowCount;
  /** … and those of the moment when most memory is needed. */
  readonly peakRows?: RowCount;
}

export interface DryRun {
  readonly command: string;
  readonly values: {
    readonly out?: string | undefined;
    readonly extend?: Extension | undefined;
    readonly steps: number;
    readonly batchSize: number;
    readonly microBatch?: number | undefined;
    readonly threads: number;
  };
  /** Settings that a resumed run must repeat. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly plan: Planned;
  readonly context: CommandContext;
  readonly task: (engine: LazyEngine, plan: SchedulePlan) => Promise<Task>;
  /** What changes with the step number, by name, at step k (from 0). */
  readonly schedules: (plan: SchedulePlan, k: number) => Readonly<Record<string, number>>;
}

/** Steps that are timed, after one that builds the sessions. */
const TIMED = 3;
/** Used for runs too large to try: a guess for one thread of a current processor. */
const ASSUMED_GFLOPS = 50;
/** Trying the run may take about so long. */
const PATIENCE_SECONDS = 60;

/** Prints the plan; returns the exit code. */
export async function dryRun(run: DryRun): Promise<number> {
  const engine = lazyEngine(cpuEngine({ threads: run.values.threads }));
  const task = await run.task(engine, { steps: run.values.steps });
  const rows = await planOf(run, engine, task).finally(() => task.release?.());
  run.context.print(`${run.command}: the plan; nothing is written`);
  for (const line of tableLines(rows)) run.context.print(`  ${line}`);
  return 0;
}

async function planOf(
  { values, settings, plan, context, schedules }: DryRun,
  engine: LazyEngine,
  task: Task,
): Promise<(readonly [string, string])[]> {
  const microBatch = microBatchOf(values);
  const { graph, options } = training(engine);
  const run = simplified(graph, cpuLowering);
  const drawn = plan.of && objectiveOf(plan.of.process).typicalSizes?.(plan.of.model, microBatch);
  const sizes =
    (rows: RowCount): RowCount =>
    (name) =>
      drawn?.[name] ?? rows(name);
  const cost = graphCost(run, sizes(plan.expectedRows ?? (() => microBatch)));
  const { peakBytes } = plan.peakRows ? graphCost(run, sizes(plan.peakRows)) : cost;
  const pieces = Math.ceil(values.batchSize / microBatch);
  const memory = memoryPlan({
    cost: { ...cost, peakBytes },
    trained: plan.trained(),
    pieces,
    constants: options.constants,
    sizes: drawn ? "changing" : "steady",
  });
  return [
    ["folder", folderText(values.out)],
    ["steps", stepsText(values, plan.examples)],
    ...extensionRows(values, schedules),
    ["micro-batches", `${pieces} of ${microBatch} images a step`],
    ...plan.rows,
    ["trained", `${grouped(plan.trained())} parameters`],
    ["settings", settingsText(settings)],
    ["memory", memoryText(memory)],
    ["arithmetic", `${(pieces * cost.flops * 1e-9).toPrecision(3)} GFLOP a step in matrix products`],
    ["time", await timeText(task, values, { flops: pieces * cost.flops, bytes: totalOf(memory) }, context)],
  ];
}

/** The one that has weights; the optimizer's are vectors. */
function training({ compiled }: LazyEngine): Compiled {
  return compiled.find(({ graph }) => leavesOf(nodesOf(Object.values(graph.outputs)), "parameter").size > 0)!;
}

function folderText(out: string | undefined): string {
  if (out === undefined) return "none given; a run needs --out";
  return exists(join(out, "config.json")) ? `${out} (holds a run, which would be resumed if its settings match)` : out;
}

/** What `--extend` would do to the schedules of the run in the folder. */
function extensionRows(
  { out, extend, steps }: DryRun["values"],
  schedules: DryRun["schedules"],
): (readonly [string, string])[] {
  const file = join(out ?? "", "config.json");
  if (out === undefined || extend === undefined || !exists(file)) return [];
  const { extended, ...plan } = extensionOf(readJson(file) as RunSettings, extend);
  if (steps <= extended.steps) return [];
  const step = checkpointSteps(out).at(-1);
  if (step === undefined) return [["extension", `${out} has no checkpoint to resume from`]];
  const text = extensionText(extended, { steps, ...plan }, step, schedules);
  return [["extension", text ?? "no schedule depends on the number of steps"]];
}

function stepsText({ steps, batchSize }: DryRun["values"], examples: number): string {
  const images = steps * batchSize;
  const passes = (images / examples).toPrecision(3);
  return `${grouped(steps)} of ${batchSize} images: ${grouped(images)} images seen, ${Number(passes)} passes over ${grouped(examples)}`;
}

const settingsText = (settings: Readonly<Record<string, unknown>>): string =>
  Object.entries(settings)
    .filter(([, value]) => value !== undefined && value !== false)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");

async function timeText(
  task: Task,
  { steps, threads }: DryRun["values"],
  cost: { flops: number; bytes: number },
  { signal, note }: CommandContext,
): Promise<string> {
  const guess = cost.flops / (ASSUMED_GFLOPS * 1e9 * threads);
  const assumed = (why: string) =>
    `about ${duration(guess * steps)}: assumes ${ASSUMED_GFLOPS} GFLOPS a thread; not measured, because ${why}`;
  if (cost.bytes > 0.9 * totalmem()) return assumed(`this machine has ${bytesText(totalmem())} of memory`);
  if (guess * (TIMED + 1) > PATIENCE_SECONDS) return assumed(`a step takes about ${duration(guess)}`);
  note(`measuring ${TIMED} steps …`);
  const seconds: number[] = [];
  for (let k = 0; k <= TIMED && !signal.aborted; k++) {
    const started = performance.now();
    await task.step(k).catch((error: unknown) => {
      if (!(error instanceof NonFiniteError)) throw error;
    });
    if (k > 0) seconds.push((performance.now() - started) / 1000);
  }
  const step = median(seconds);
  return `about ${duration(step * steps)}: ${seconds.length} steps measured now, ${step.toPrecision(3)} s a step`;
}
