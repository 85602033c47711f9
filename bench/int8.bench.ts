/** One forward pass in float32 against int8, at DiT-S/2 and of the digit teachers, and how far the outputs are apart. */
import { float32, int32, type NDArray, sizeOf } from "../src/array/ndarray.ts";
import { normals } from "../src/array/random.ts";
import { type Engine, type Program, runAndRead, type Weights } from "../src/engine/engine.ts";
import { int8Engine } from "../src/engine/int8-engine.ts";
import { cpuEngine } from "../src/engine/onnx/cpu-engine.ts";
import { input } from "../src/graph/build.ts";
import { int8Layers } from "../src/models/int8-layers.ts";
import { presets } from "../src/models/presets.ts";
import { type Model, modelOf, predictor } from "../src/models/registry.ts";
import { Params } from "../src/nn/params.ts";
import { loadModel } from "../src/weights/model-file.ts";
import { flag, interleaved, machine, median, pairedRatio, peakGigabytes } from "./measure.ts";
import { awakeWeights } from "./models.ts";

const threads = Number(flag("threads", "2"));
const rounds = Number(flag("rounds", "15"));
const engine = cpuEngine({ threads });
/** For some ms after a change of sessions, the threads of the last one still spin on the cores. */
const RUNS_PER_TURN = 3;

/** A forward pass of `rows` noised images, at timesteps from 0 to `last`. */
async function forward(own: Engine, { model, weights, last }: Entrant, rows: number) {
  const { inChannels, inputSize, numClasses } = model.config;
  const shape = [rows, inChannels, inputSize, inputSize];
  const io = { x: input("x", shape), t: input("t", [rows]), y: input("y", [rows], "int32") };
  const out = predictor(model, new Params())(io);
  const program: Program = await own.compile({ outputs: { out } }, { constants: weights });
  const feeds = {
    x: float32(normals({ seed: 0, purpose: "int8", step: 0, index: 0 }, sizeOf(shape)), shape),
    t: float32(Float32Array.from({ length: rows }, (_, i) => (last * (i + 0.5)) / rows)),
    y: int32(Int32Array.from({ length: rows }, (_, i) => i % numClasses)),
  };
  return async () => (await runAndRead(program, feeds)).out!;
}

interface Entrant {
  readonly name: string;
  readonly model: Model;
  readonly weights: Weights;
  readonly rows: number;
  /** The last timestep. */
  readonly last: number;
}

/** Random weights: speed does not depend on them, errors do. */
function random(name: string, model: Model, rows: number): Entrant {
  const p = new Params();
  model.family.trace(p, model.config);
  return { name, model, weights: awakeWeights(p.specs()), rows, last: 999 };
}

async function teacher(name: string, path: string, last: number): Promise<Entrant> {
  const { model, tensors } = await loadModel(path);
  return { name, model, weights: tensors, rows: 64, last };
}

/** Root mean square of the difference, relative to that of the numbers. */
function relativeError(found: NDArray, expected: NDArray): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < expected.size; i++) {
    difference += ((found.data[i] as number) - (expected.data[i] as number)) ** 2;
    size += (expected.data[i] as number) ** 2;
  }
  return Math.sqrt(difference / size);
}

console.log(machine());
const small = modelOf(presets.get("DiT-S/2")!);
for (const entrant of [
  random("DiT-S/2, 8 rows", small, 8),
  random("DiT-S/2, 16 rows", small, 16),
  await teacher("DiT of digits, 64 rows", "models/digits/teacher.safetensors", 999),
  await teacher("SiT of digits, 64 rows", "models/digits/sit-teacher.safetensors", 1),
]) {
  const whole = await forward(engine, entrant, entrant.rows);
  const low = await forward(int8Engine(engine, int8Layers(entrant.model)), entrant, entrant.rows);
  const error = relativeError(await low(), await whole());
  const turn = (run: () => Promise<NDArray>) => async () => {
    for (let i = 0; i < RUNS_PER_TURN; i++) await run();
  };
  const times = await interleaved({ whole: turn(whole), low: turn(low) }, rounds);
  const ms = (all: readonly number[]) => (median(all) / RUNS_PER_TURN).toFixed(1);
  console.log(
    `${entrant.name}: float32 ${ms(times.whole!)} ms, int8 ${ms(times.low!)} ms, ratio ` +
      `${pairedRatio(times.whole!, times.low!).toFixed(2)}; relative error of the output ${error.toPrecision(2)}`,
  );
}
console.log(`peak memory ${peakGigabytes()?.toFixed(2)} GB`);
