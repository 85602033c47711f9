/** `tinyfusion generate`: as many images as an evaluation needs, in a folder that can be completed after any stop. */
import { generate, generateSettings } from "../tasks/generate.ts";
import { command, Stopped } from "./command.ts";
import { cacheLines, modelUsed } from "./result-lines.ts";

export const generateCommand = command({
  name: "generate",
  summary: "Sample the images of an evaluation into a folder and one .npz file; resumes after a stop.",
  settings: generateSettings,
  positional: ["file"],
  examples: [
    "tinyfusion generate models/digits/teacher.safetensors --count 2000",
    "tinyfusion generate TinyDiT-D14.pt --model TinyDiT-D14 --vae hf:stabilityai/sd-vae-ft-ema --count 50000 --steps 250 --sampler ddpm --cfg 1.5 --out generated/d14",
    "tinyfusion generate models/digits/mar-teacher.safetensors --count 5000 --labels balanced --steps 16",
    "tinyfusion generate models/digits/sit-teacher.safetensors --classes 3,7 --count 1000 --out generated/sit-3-and-7",
  ],
  async run(settings) {
    const set = await generate(settings);
    const { finished, images, count, newImages, seconds, derived, model } = set;
    const speed = `${newImages} images sampled now at ${(newImages / seconds).toPrecision(3)} images/s, ${modelUsed(model)}`;
    const now = newImages > 0 ? [speed, ...cacheLines(derived)] : [];
    if (!finished) throw new Stopped(`stopped with ${images} of ${count} images; the same command resumes`, ...now);
    return [set.file, `${count} images`, ...now];
  },
});
