/** What a training run would do, cost and take, found by building it and trying a few steps; nothing is written. */
import { totalmem } from "node:os";
import { join } from "node:path";
import { NDArray, sizeOf } from "../array/ndarray.ts";
import { runOn } from "../engine/devices.ts";
import type { Weights } from "../engine/engine.ts";
import { type Compiled, type LazyEngine, lazyEngine } from "../engine/lazy-engine.ts";
import { median } from "../evaluation/speed/timing.ts";
import { leavesOf, nodesOf } from "../graph/graph.ts";
import { type GraphCost, graphCost, type RowCount } from "../graph/graph-cost.ts";
import { exists, readJson } from "../storage/read.ts";
import { checkpointSteps } from "../training/checkpoint-folder.ts";
import { NonFiniteError, type Task } from "../training/loop.ts";
import { objectiveOf } from "../training/objectives.ts";
import { extensionOf, type RunSettings } from "../training/run-settings.ts";
import { microBatchOf } from "./shared-settings.ts";
import { extensionText, repeatable, type TrainingJob } from "./training-run.ts";

export interface TrainingPlan {
  /** Undefined where none was given: a run needs one. */
  readonly out: string | undefined;
  /** The folder holds a run, which would be resumed if its settings match. */
  readonly resumes: boolean;
  readonly steps: number;
  readonly batchSize: number;
  /** Examples of the data. */
  readonly examples: number;
  /** What `extend` would do to the schedules of the run in the folder. */
  readonly extension: string | undefined;
  readonly microBatches: number;
  readonly microBatch: number;
  /** Rows about the model. */
  readonly rows: readonly (readonly [string, string])[];
  /** Numbers that training changes. */
  readonly trained: number;
  /** Settings that a resumed run must repeat. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Bytes by what they are for; what is mapped can be given back when others need it. */
  readonly memory: Readonly<Record<string, number>>;
  /** Floating-point operations of a step in matrix products. */
  readonly flops: number;
  readonly time: PlannedTime;
}

export interface PlannedTime {
  readonly secondsPerStep: number;
  /** Steps that were measured. */
  readonly measured: number;
  /** Why none was, and what was assumed instead. */
  readonly assumed?: string;
}

/** Steps that are timed, after one that builds the sessions. */
const TIMED = 3;
/** Used for runs too large to try: a guess for one thread of a current processor. */
const ASSUMED_GFLOPS = 50;
/** Trying the run may take about so long. */
const PATIENCE_SECONDS = 60;

/** The plan of a job. @throws InputError as the run itself would, before its first step. */
export async function planOf(job: TrainingJob): Promise<TrainingPlan> {
  const engine = lazyEngine(job.context.engine());
  try {
    const task = await job.task(engine, { steps: job.values.steps });
    return await planTask(job, engine, task).finally(() => task.release?.());
  } finally {
    await job.release?.();
    await job.data.release?.();
  }
}

async function planTask(job: TrainingJob, engine: LazyEngine, task: Task): Promise<TrainingPlan> {
  const { values, planned } = job;
  const { out, steps, batchSize } = values;
  const microBatch = microBatchOf(values);
  const { graph, options } = trainingGraph(engine);
  const run = runOn(values.device, graph);
  const drawn = planned.of && objectiveOf(planned.of.process).typicalSizes?.(planned.of.model, microBatch);
  const sizes =
    (rows: RowCount): RowCount =>
    (name) =>
      drawn?.[name] ?? rows(name);
  const cost = graphCost(run, sizes(planned.expectedRows ?? (() => microBatch)));
  const { peakBytes } = planned.peakRows ? graphCost(run, sizes(planned.peakRows)) : cost;
  const microBatches = Math.ceil(batchSize / microBatch);
  const trained = planned.trained();
  const memory = memoryOf({
    cost: { ...cost, peakBytes },
    trained,
    microBatches,
    constants: options.constants,
    sizes: drawn ? "changing" : "steady",
  });
  const flops = microBatches * cost.flops;
  return {
    out,
    resumes: out !== undefined && exists(join(out, "config.json")),
    steps,
    batchSize,
    examples: planned.examples,
    extension: extensionIn(job),
    microBatches,
    microBatch,
    rows: planned.rows,
    trained,
    settings: repeatable(values),
    memory,
    flops,
    time: await timeOf(task, job, { flops, bytes: totalOf(memory) }),
  };
}

/** The one that has weights; the optimizer's are vectors. */
function trainingGraph({ compiled }: LazyEngine): Compiled {
  return compiled.find(({ graph }) => leavesOf(nodesOf(Object.values(graph.outputs)), "parameter").size > 0)!;
}

function extensionIn({ values: { out, extend, steps }, schedules }: TrainingJob): string | undefined {
  const file = join(out ?? "", "config.json");
  if (out === undefined || extend === undefined || !exists(file)) return undefined;
  const { extended, ...plan } = extensionOf(readJson(file) as RunSettings, extend);
  if (steps <= extended.steps) return undefined;
  const step = checkpointSteps(out).at(-1);
  if (step === undefined) return `${out} has no checkpoint to resume from`;
  return extensionText(extended, { steps, ...plan }, step, schedules) ?? "no schedule depends on the number of steps";
}

async function timeOf(
  task: Task,
  { values: { threads }, context: { signal, note } }: TrainingJob,
  cost: { flops: number; bytes: number },
): Promise<PlannedTime> {
  const guess = cost.flops / (ASSUMED_GFLOPS * 1e9 * threads);
  const assumed = (why: string) => ({
    secondsPerStep: guess,
    measured: 0,
    assumed: `assumes ${ASSUMED_GFLOPS} GFLOPS a thread; not measured, because ${why}`,
  });
  if (cost.bytes > 0.9 * totalmem()) return assumed(`this machine has ${Math.round(totalmem() / 1e9)} GB of memory`);
  if (guess * (TIMED + 1) > PATIENCE_SECONDS) return assumed(`a step takes about ${Math.round(guess)} s`);
  note(`measuring ${TIMED} steps …`);
  const seconds: number[] = [];
  for (let k = 0; k <= TIMED && !signal.aborted; k++) {
    const started = performance.now();
    await task.step(k).catch((error: unknown) => {
      if (!(error instanceof NonFiniteError)) throw error;
    });
    if (k > 0) seconds.push((performance.now() - started) / 1000);
  }
  return { secondsPerStep: median(seconds), measured: seconds.length };
}

/** Measured on runs of DiT-S to DiT-XL; LOG.md says how well it holds for others. */
const PROGRAM_BYTES = 200e6;
const NODE_BYTES = 12e3;
/** The engine's pool has gaps, and more of them where the sizes of all tensors differ from step to step. */
const POOL_FACTOR = { steady: 1.1, changing: 1.45 } as const;

interface MemoryRequest {
  readonly cost: GraphCost;
  /** Numbers that are trained. */
  readonly trained: number;
  /** Micro-batches of a step. */
  readonly microBatches: number;
  readonly constants: Weights | undefined;
  /** Whether steps draw the number of tokens anew, as a MAR's do. */
  readonly sizes: keyof typeof POOL_FACTOR;
}

/** How much memory a run will need, from its graph alone: bytes by what they are for. */
function memoryOf({ cost, trained, microBatches, constants, sizes }: MemoryRequest): Readonly<Record<string, number>> {
  const mapped = [...(constants?.values() ?? [])].flatMap((x) => (x instanceof NDArray ? [] : [x]));
  const stays = mapped.reduce((total, { shape }) => total + sizeOf(shape), 0);
  const held = Math.max(0, cost.parameters - trained - stays);
  return {
    "weights mapped from files": mapped.reduce((total, { location }) => total + location!.byteLength, 0),
    "weights in memory": 4 * (held + trained),
    // Those of the last micro-batch, the engine's copy that they came from, and their sum.
    gradients: 4 * trained * (microBatches > 1 ? 3 : 2),
    moments: 8 * trained,
    EMA: 4 * trained,
    "tensors of a micro-batch": POOL_FACTOR[sizes] * cost.peakBytes,
    "program and data": PROGRAM_BYTES + NODE_BYTES * cost.nodes,
  };
}

export const totalOf = (plan: Readonly<Record<string, number>>): number =>
  Object.values(plan).reduce((sum, bytes) => sum + bytes, 0);
