/** A training step, a mask step and a sampling step on a device: time, what crosses to and from the host, memory of arrays. */
import { float32, int32, sizeOf } from "../src/array/ndarray.ts";
import { normals } from "../src/array/random.ts";
import { imagesInMemory } from "../src/data/training-set.ts";
import { processOf } from "../src/diffusion/process.ts";
import { cpuEngine } from "../src/engine/onnx/cpu-engine.ts";
import { webgpuEngine } from "../src/engine/onnx/webgpu-engine.ts";
import { preset } from "../src/models/presets.ts";
import { parseGroups } from "../src/pruning/groups.ts";
import { learnDefaults, learnMasks } from "../src/pruning/learn.ts";
import { sampleImages } from "../src/sampling/sample-images.ts";
import { trainDefaults, trainTask } from "../src/training/train.ts";
import { type ModelFile, weightSpecs } from "../src/weights/model-file.ts";
import { flag, machine, median } from "./measure.ts";
import { awakeWeights } from "./models.ts";
import { counted, type Traffic } from "./traffic.ts";

const engines = { cpu: cpuEngine, webgpu: webgpuEngine };
const device = flag("device", "cpu") as keyof typeof engines;
const name = flag("model", "DiT-S/2");
const rows = Number(flag("rows", "8"));
const rounds = Number(flag("rounds", "5"));
const kinds = flag("kinds", "train,mask,sample").split(",");

const { engine, traffic } = counted(engines[device]({ threads: Number(flag("threads", "2")) }));
const model = preset(name);
const { config, family } = model;
const process = processOf(family.process);
const tensors = awakeWeights(weightSpecs(model));
const file: ModelFile = { model, tensors, process, weights: "raw", images: 0, prunings: [], path: name, sha256: "" };
const shape = [4 * rows, config.inChannels, config.inputSize, config.inputSize];
const data = imagesInMemory(
  float32(normals({ seed: 0, purpose: "bench images", step: 0, index: 0 }, sizeOf(shape)), shape),
  int32(Int32Array.from({ length: shape[0]! }, (_, i) => i % config.numClasses)),
  config.numClasses,
);
const settings = { batchSize: rows, microBatch: rows, seed: 0, steps: 1000, process };

const WARMUP = 2;
const count = rounds + WARMUP;

/**
 * Takes `count` steps and calls `tick` after each; before the first also once everything is compiled. Returns the
 * milliseconds of a step where a tick does not wait for the device.
 */
const kindsOfSteps: Readonly<Record<string, (tick: () => void) => Promise<number | undefined>>> = {
  async train(tick) {
    const task = await trainTask(engine, model, data, { ...trainDefaults, ...settings }, file);
    tick();
    for (let k = 0; k < count; k++) await task.step(k).then(tick);
    await task.release();
    return undefined;
  },
  async mask(tick) {
    const groups = parseGroups("1:2", family.stacks(config));
    const { learning, trainer } = await learnMasks(engine, file, groups, data, { ...learnDefaults, ...settings });
    tick();
    for (let k = 0; k < count; k++) await learning.step(k).then(tick);
    await trainer.release();
    return undefined;
  },
  async sample(tick) {
    tick();
    const sampler = { model, weights: tensors, process, engine, seed: 0, labels: rows, internalBatch: rows };
    return 1000 / (await sampleImages({ ...sampler, steps: String(count), onProgress: tick })).iterationsPerSecond;
  },
};

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(bytes < 1e7 ? 3 : 0);

console.log(machine());
console.log(`${name}, ${rows} images, --device ${device}; medians of ${rounds} steps after 2 of warm-up`);
console.log(`weights ${megabytes(4 * [...tensors.values()].reduce((sum, { size }) => sum + size, 0))} MB`);
for (const kind of kinds) {
  const ticks: (Traffic & { readonly at: number })[] = [];
  const perStep = await kindsOfSteps[kind]!(() => ticks.push({ ...traffic, at: performance.now() }));
  const middle = (of: (tick: (typeof ticks)[number]) => number): number =>
    median(ticks.slice(WARMUP + 1).map((tick, i) => of(tick) - of(ticks[i + WARMUP]!)));
  const crossed = [middle(({ toDevice }) => toDevice), middle(({ toHost }) => toHost)].map(megabytes);
  console.log(
    `${kind.padEnd(7)} ${(perStep ?? middle(({ at }) => at)).toFixed(1)} ms; to the device ${crossed[0]} MB, to the host ${crossed[1]} MB ` +
      `each step; arrays on the device at most ${megabytes(traffic.peak)} MB`,
  );
  traffic.peak = traffic.alive;
}
