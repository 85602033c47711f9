/** `tinyfusion generate`: as many images as an evaluation needs, in a folder that can be completed after any stop. */
import { generate, generateSettings } from "../tasks/generate.ts";
import { command, STOPPED, taskSettings } from "./command.ts";
import { cacheLines, modelUsed } from "./result-lines.ts";

const { file: _, ...options } = generateSettings;

export const generateCommand = command({
  name: "generate",
  summary: "Sample the images of an evaluation into a folder and one .npz file; resumes after a stop.",
  argument: "<model>",
  options,
  examples: [
    "tinyfusion generate models/digits/teacher.safetensors --count 2000",
    "tinyfusion generate TinyDiT-D14.pt --model TinyDiT-D14 --vae hf:stabilityai/sd-vae-ft-ema --count 50000 --steps 250 --sampler ddpm --cfg 1.5 --out generated/d14",
    "tinyfusion generate models/digits/mar-teacher.safetensors --count 5000 --labels balanced --steps 16",
    "tinyfusion generate models/digits/sit-teacher.safetensors --classes 3,7 --count 1000 --out generated/sit-3-and-7",
  ],
  async run(values, context, file) {
    const set = await generate(taskSettings("generate", values, context, { file }));
    const { finished, images, newImages, seconds, derived, model } = set;
    if (finished) for (const line of [set.file, `${values.count} images`]) context.print(line);
    else context.print(`stopped with ${images} of ${values.count} images; the same command resumes`);
    if (newImages > 0) {
      context.print(
        `${newImages} images sampled now at ${(newImages / seconds).toPrecision(3)} images/s, ${modelUsed(model)}`,
      );
      for (const line of cacheLines(derived)) context.print(line);
    }
    return finished ? 0 : STOPPED;
  },
});
