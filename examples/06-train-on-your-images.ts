/**
 * A small transformer on the pixels of a folder of images: crop them once, train, sample. Shapes in colours are made for it
 * here; class folders of your own do as well. As it is, it shows the parts in seconds and samples noise;
 * `node --conditions=source --import tsx examples/06-train-on-your-images.ts full` trains for six and a half minutes on two
 * cores, until the shapes can be recognised.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sample, train } from "tinyfusion";
import { writeShapes } from "./coloured-shapes.ts";

const isFull = process.argv[2] === "full";
const folder = mkdtempSync(join(tmpdir(), "tinyfusion-example-"));
const data = join(folder, "shapes");
await writeShapes(data, isFull ? 2000 : 50);

// The images are cropped to 32 × 32 once, into a cache beside the run; the model and its settings follow from them.
const run = await train({
  data,
  size: 32,
  out: join(folder, "run"),
  ...(isFull ? {} : { steps: 10, warmupSteps: 5 }),
  onNote: console.log,
});
if (!run.finished) throw new Error("stopped");

// Samples by the averaged weights: a column for each class.
const { files } = await sample({
  file: run.ema,
  count: isFull ? 50 : 5,
  steps: isFull ? "25" : "3",
  out: join(folder, "samples"),
});
console.log(files.grid);
