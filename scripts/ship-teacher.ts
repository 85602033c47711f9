/**
 * Packs a trained teacher for shipping: the last run's averaged weights as float16, the settings of all runs that led
 * there, and their log (every tenth line). Usage: node --import tsx scripts/ship-teacher.ts NAME RUN [RUN …], where NAME is
 * teacher, sit-teacher or mar-teacher
 */
import { cpus, totalmem } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { readLines } from "../src/storage/append-lines.ts";
import { writeAtomically } from "../src/storage/atomic-write.ts";
import { listFolder, readJson } from "../src/storage/read.ts";
import { loadModel, saveModel } from "../src/weights/model-file.ts";

const [name, ...runs] = process.argv.slice(2);
if (runs.length === 0) throw new Error("usage: node --import tsx scripts/ship-teacher.ts NAME RUN [RUN …]");
const target = fileURLToPath(new URL("../models/digits/", import.meta.url));

const checkpoints = join(runs.at(-1)!, "checkpoints");
const last = listFolder(checkpoints)
  .map((entry) => entry.name)
  .filter((entry) => entry.startsWith("step-"))
  .sort()
  .at(-1)!;
const {
  model,
  tensors,
  weights,
  images,
  prunings,
  process: diffusion,
} = await loadModel(join(checkpoints, last, "ema.safetensors"));
await saveModel(
  join(target, `${name}.safetensors`),
  model,
  tensors,
  { weights, images, prunings, process: diffusion },
  true,
);

const phases = runs.map((run) => {
  const lines = readLines(join(run, "metrics.jsonl")) as { step: number; images: number }[];
  const { init, ...config } = readJson(join(run, "config.json")) as { init?: string };
  const told = { ...config, ...(init !== undefined && { init: basename(init) }) };
  return { config: told, steps: lines.at(-1)!.step, images: lines.at(-1)!.images, lines };
});
const facts = {
  date: new Date().toISOString().slice(0, 10),
  machine: `${cpus().length} × ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
  images,
  note:
    "Each phase goes on from the raw weights of the one before: --init RUN/checkpoints/…/weights.safetensors. " +
    "sit-start.safetensors is teacher.safetensors after scripts/sit-from-dit.ts.",
  phases: phases.map(({ config, steps, images: seen }) => ({ steps, images: seen, config })),
};
await writeAtomically(join(target, `${name}.json`), `${JSON.stringify(facts, null, 2)}\n`);
const log = phases.flatMap(({ lines }, phase) =>
  lines
    .filter((_, i) => i % 10 === 9 || i === lines.length - 1)
    .map((line) => JSON.stringify({ phase: phase + 1, ...line })),
);
await writeAtomically(join(target, `${name}.metrics.jsonl`), `${log.join("\n")}\n`);
console.log(`${last} of ${runs.at(-1)}: ${images} images seen, shipped in models/digits`);
