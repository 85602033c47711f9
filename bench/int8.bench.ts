/** One forward pass in float32 against int8, at DiT-S/2, of the digit teachers and of MAR-B's head, and how far the outputs are apart. */
import { float32, int32, type NDArray, sizeOf } from "../src/array/ndarray.ts";
import { normals } from "../src/array/random.ts";
import { type Engine, type NamedArrays, runAndRead, type Weights } from "../src/engine/engine.ts";
import { int8Engine } from "../src/engine/int8-engine.ts";
import { cpuEngine } from "../src/engine/onnx/cpu-engine.ts";
import { input } from "../src/graph/build.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { int8Layers } from "../src/models/int8-layers.ts";
import { type MarConfig, tokenSize } from "../src/models/mar/config.ts";
import { tokenDenoiser } from "../src/models/mar/token-denoiser.ts";
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

/** A forward pass: what it computes, and what it is fed. */
interface Pass {
  readonly model: Model;
  readonly out: Tensor;
  readonly weights: Weights;
  readonly feeds: NamedArrays;
}

const draw = (purpose: string, shape: readonly number[]): NDArray<"float32"> =>
  float32(normals({ seed: 0, purpose, step: 0, index: 0 }, sizeOf(shape)), shape);
const spread = (count: number, last: number) =>
  float32(Float32Array.from({ length: count }, (_, i) => (last * (i + 0.5)) / count));

/** A prediction of `rows` images of noise, at times from 0 to `last`; without weights, of random ones. */
function prediction(model: Model, rows: number, last: number, weights?: Weights): Pass {
  const { inChannels, inputSize, numClasses } = model.config;
  const shape = [rows, inChannels, inputSize, inputSize];
  const p = new Params();
  const out = predictor(model, p)({ x: input("x", shape), t: input("t", [rows]), y: input("y", [rows], "int32") });
  const y = int32(Int32Array.from({ length: rows }, (_, i) => i % numClasses));
  const feeds = { x: draw("x", shape), t: spread(rows, last), y };
  return { model, out, weights: weights ?? awakeWeights(p.specs()), feeds };
}

/** A denoising step of tokens by a MAR's head with random weights. */
function headStep(model: Model, tokens: number): Pass {
  const config = model.config as unknown as MarConfig;
  const shapes = { x: [tokens, tokenSize(config)], z: [tokens, config.decoderSize] };
  const p = new Params();
  const io = { x: input("x", shapes.x), t: input("t", [tokens]), z: input("z", shapes.z) };
  const out = tokenDenoiser(p, config, io);
  const feeds = { x: draw("x", shapes.x), t: spread(tokens, 999), z: draw("z", shapes.z) };
  return { model, out, weights: awakeWeights(p.specs()), feeds };
}

async function teacher(path: string, last: number): Promise<Pass> {
  const { model, tensors } = await loadModel(path);
  return prediction(model, 64, last, tensors);
}

async function compiled(own: Engine, { out, weights, feeds }: Pass): Promise<() => Promise<NDArray>> {
  const program = await own.compile({ outputs: { out } }, { constants: weights });
  return async () => (await runAndRead(program, feeds)).out!;
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
const passes = {
  "DiT-S/2, 8 rows": prediction(small, 8, 999),
  "DiT-S/2, 16 rows": prediction(small, 16, 999),
  "DiT of digits, 64 rows": await teacher("models/digits/teacher.safetensors", 999),
  "SiT of digits, 64 rows": await teacher("models/digits/sit-teacher.safetensors", 1),
  "head of MAR-B, 64 tokens": headStep(modelOf(presets.get("MAR-B")!), 64),
};
for (const [name, pass] of Object.entries(passes)) {
  const whole = await compiled(engine, pass);
  const low = await compiled(int8Engine(engine, int8Layers(pass.model)), pass);
  const error = relativeError(await low(), await whole());
  const turn = (run: () => Promise<NDArray>) => async () => {
    for (let i = 0; i < RUNS_PER_TURN; i++) await run();
  };
  const times = await interleaved({ whole: turn(whole), low: turn(low) }, rounds);
  const ms = (all: readonly number[]) => (median(all) / RUNS_PER_TURN).toFixed(1);
  console.log(
    `${name}: float32 ${ms(times.whole!)} ms, int8 ${ms(times.low!)} ms, ratio ` +
      `${pairedRatio(times.whole!, times.low!).toFixed(2)}; relative error of the output ${error.toPrecision(2)}`,
  );
}
console.log(`peak memory ${peakGigabytes()?.toFixed(2)} GB`);
