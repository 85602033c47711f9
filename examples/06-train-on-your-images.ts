/**
 * A small transformer on the pixels of a folder of images: crop them once, train, draw. Shapes in colours are made for it
 * here; class folders of your own do as well. As it is, it shows the parts in seconds and draws noise;
 * `node --conditions=source --import tsx examples/06-train-on-your-images.ts full` trains for six and a half minutes on two cores, until the shapes can
 * be recognised. The command `tinyfusion train --data FOLDER --out RUN` does the same, with checkpoints.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  cachedImages,
  cpuEngine,
  listImages,
  openPixelCache,
  processOf,
  sampleImages,
  trainDefaults,
  trainTask,
  writeAtomically,
} from "tinyfusion";
import { encodePng, imageGrid } from "tinyfusion/formats";
import { pixelModel, preset } from "tinyfusion/models";
import { writeShapes } from "./coloured-shapes.ts";

const isFull = process.argv[2] === "full";
const { images, steps } = isFull ? { images: 2000, steps: 6000 } : { images: 50, steps: 10 };
const folder = mkdtempSync(join(tmpdir(), "tinyfusion-example-"));

// 1. Class folders of colour images, cropped to 32 × 32 once: the second time they are taken from the cache.
await writeShapes(join(folder, "shapes"), images);
const listing = listImages(join(folder, "shapes"));
const cache = await openPixelCache({
  ...{ listing, size: 32, folder: join(folder, "decoded-images") },
  ...{ signal: new AbortController().signal, note: console.log },
});
const data = cachedImages(listing, cache, { size: 32, channels: 3, flip: false });
console.log(`${data.size} images of ${data.classNames?.join(", ")}`);

// 2. A model for such images, trained from random weights.
const model = pixelModel(preset("SiT-Pixels"), { size: 32, channels: 3, numClasses: data.numClasses });
const flow = processOf(model.family.process);
const engine = cpuEngine({ threads: 2 });
const task = await trainTask(engine, model, data, {
  ...{ ...trainDefaults, steps, batchSize: 8, microBatch: 8, process: flow },
  learningRate: { base: 3e-3, kind: "cosine", final: 0, warmupSteps: Math.min(50, steps) },
});
for (let k = 0; k < steps; k++) {
  const { terms } = await task.step(k);
  if (k % 500 === 0 || k === steps - 1) console.log(`step ${k + 1} of ${steps}, loss ${terms.loss!.toFixed(3)}`);
}
await task.release?.();

// 3. Samples by the averaged weights: a column for each class.
const { images: samples } = await sampleImages({
  ...{ engine, model, weights: task.checkpoint().files.ema!, process: flow },
  ...{ labels: isFull ? 50 : 5, seed: 0, steps: isFull ? "25" : "3", cfgScale: 2 },
});
await writeAtomically(join(folder, "grid.png"), encodePng(imageGrid(samples, data.numClasses, { scale: 2 })));
console.log(join(folder, "grid.png"));
