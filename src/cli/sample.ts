/** `tinyfusion sample`: images from a model file, as a grid and as numbers. */
import { type SampleResult, sample, sampleSettings } from "../tasks/sample.ts";
import { command } from "./command.ts";
import { cacheLines, classLines, modelUsed, scoreLines } from "./result-lines.ts";

export const sampleCommand = command({
  name: "sample",
  summary: "Sample images from a model, and score them if they are digits.",
  settings: sampleSettings,
  positional: ["file"],
  examples: [
    "tinyfusion sample models/digits/teacher.safetensors --count 256 --evaluate",
    "tinyfusion sample models/digits/sit-teacher.safetensors --sampler dopri5",
    "tinyfusion sample models/digits/mar-teacher.safetensors --steps 16 --temperature 0.9",
    'tinyfusion sample TinyDiT-D14.pt --model TinyDiT-D14 --vae hf:stabilityai/sd-vae-ft-ema --class "golden retriever" --count 4 --cfg 4',
    "tinyfusion sample models/digits/teacher.safetensors --classes 3,7 --blocks 0,2,4,6,8,10,12,14,16,18,20,22,24,26",
  ],
  run: async (settings) => linesOf(await sample(settings)),
});

function linesOf(result: SampleResult): string[] {
  const { images, shown, files, model, secondsPerImage, iterationsPerSecond, derived, evaluation } = result;
  const [count, channels] = images.shape as [number, number];
  const written =
    files.grid === undefined
      ? `${files.samples} (no grid: ${channels}-channel latents need a decoder, give --vae)`
      : `${files.grid}${shown < count ? ` (the first ${shown})` : ""}`;
  const speed = `${secondsPerImage.toPrecision(3)} s an image, ${iterationsPerSecond.toPrecision(3)} it/s`;
  return [
    written,
    `${count} images, ${modelUsed(model)}: ${speed}`,
    ...cacheLines(derived),
    ...(evaluation ? [...scoreLines(evaluation), ...classLines(evaluation.classes)] : []),
  ];
}
