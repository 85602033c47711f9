/** `tinyfusion sample`: images from a model file, as a picture and as numbers. */
import { join } from "node:path";
import { InputError } from "../array/input-error.ts";
import { int32, type NDArray } from "../array/ndarray.ts";
import type { Engine } from "../engine/engine.ts";
import { cpuEngine } from "../engine/onnx/node-engine.ts";
import { type DigitEvaluation, scoreDigits } from "../evaluation/scores/digit-scores.ts";
import { encodeSafetensors } from "../formats/safetensors.ts";
import type { ModelConfig } from "../models/family.ts";
import { type Generated, type GenerateProgress, generate } from "../sampling/generate.ts";
import { plannedSampling } from "../sampling/image-sampler.ts";
import { requireUsable } from "../sampling/usable-images.ts";
import { type Decoder, openDecoder } from "../tasks/decoder-settings.ts";
import { gridPng, hasImageChannels } from "../tasks/grid-png.ts";
import { labelsInTurn } from "../tasks/sampling-settings.ts";
import type { SettingTable, Values } from "../tasks/settings.ts";
import { versions } from "../tasks/version.ts";
import { type CommandContext, command, STOPPED, unlessStopped } from "./command.ts";
import {
  type Drawing,
  drawerOptions,
  drawerText,
  drawingOptions,
  modelFacts,
  modelName,
  openDrawing,
} from "./drawing.ts";
import { classLines, scoreLines } from "./evaluate/score-lines.ts";
import { takeSampleFolder } from "./sample-folder.ts";
import { cacheLines } from "./sampling-lines.ts";

const options = {
  count: { kind: "integer", fallback: 64, min: 1, help: "images" },
  ...drawingOptions,
  evaluate: { kind: "flag", help: "the scores of tinyfusion evaluate (28 × 28 digits only)" },
  out: { kind: "folder", help: "folder for grid.png, samples.safetensors, samples.json [samples/MODEL]" },
  overwrite: { kind: "flag", help: "replace samples of other settings in that folder" },
  ...drawerOptions,
} as const satisfies SettingTable;

type Options = Values<typeof options>;

export const sample = command({
  name: "sample",
  summary: "Draw images from a model, and evaluate them if they are digits.",
  argument: "<model>",
  options,
  examples: [
    "tinyfusion sample models/digits/teacher.safetensors --count 256 --evaluate",
    "tinyfusion sample models/digits/sit-teacher.safetensors --sampler dopri5",
    "tinyfusion sample models/digits/mar-teacher.safetensors --steps 16 --temperature 0.9",
    'tinyfusion sample TinyDiT-D14.pt --model TinyDiT-D14 --vae hf:stabilityai/sd-vae-ft-ema --class "golden retriever" --count 4 --cfg 4',
    "tinyfusion sample models/digits/teacher.safetensors --classes 3,7 --kept 0,2,4,6,8,10,12,14,16,18,20,22,24,26",
  ],
  async run(values, context, path) {
    const drawing = await openDrawing(path!, values, context);
    const { file, classes } = drawing;
    if (values.evaluate) checkEvaluable(values, file.model.config);
    const engine = cpuEngine({ threads: values.threads });
    const decoder = await openDecoder(values, file.model.config, engine, context.note);
    const out = values.out ?? join("samples", modelName(path!));
    const source = await sourceOf(values, drawing, engine, decoder);
    const folder = takeSampleFolder(out, source, values.overwrite);
    try {
      const sampled = await unlessStopped(context, () => sampleImages(values, drawing, { engine, decoder, context }));
      if (!sampled) return STOPPED;
      const { generated, shown } = sampled;
      const { images, labels } = generated;
      const facts = factsOf(source, generated);
      const request = { engine, images, labels, name: out, origin: facts };
      const evaluation = values.evaluate ? await scoreDigits(request) : undefined;
      await folder.write(
        encodeSafetensors(
          new Map<string, NDArray>([
            ["images", images],
            ["labels", int32(labels)],
          ]),
        ),
        shown && gridPng(shown, classes.length),
        { ...facts, ...(evaluation && { digits: evaluation }), versions: versions() },
      );
      for (const line of [fileLine(out, images, shown), speedLine(drawing, generated)]) context.print(line);
      for (const line of cacheLines(generated.derived)) context.print(line);
      if (evaluation) for (const line of evaluationLines(evaluation)) context.print(line);
      return 0;
    } finally {
      folder.close();
    }
  },
});

/** @throws InputError before any time is spent. */
function checkEvaluable({ count }: Options, { inputSize, inChannels, numClasses }: ModelConfig): void {
  if (inputSize !== 28 || inChannels !== 1 || numClasses !== 10) {
    throw new InputError(
      `--evaluate knows digits only (1 × 28 × 28, 10 classes); this model makes ${inChannels} × ${inputSize} × ` +
        `${inputSize} of ${numClasses} classes`,
    );
  }
  if (count < 20) throw new InputError(`--evaluate needs --count of at least 20 for a standard error, got ${count}`);
}

/** A line of a log for each finished batch. */
function showProgress(
  { count }: Options,
  started: number,
  context: CommandContext,
): (progress: GenerateProgress) => void {
  let before = 0;
  return ({ evaluations, of, images }) => {
    // Where the images decide how many evaluations they need, finished images are all there is to count.
    const [step, steps] = of === undefined ? [images, count] : [evaluations, of];
    const secondsLeft = ((performance.now() - started) / 1000 / Math.max(step, 1)) * (steps - step);
    context.progress({ step, steps, images, secondsLeft, line: { of: count }, isTransient: images === before });
    before = images;
  };
}

/** What the samples depend on, known before any is made. @throws InputError for settings that do not fit the model. */
async function sourceOf(
  { count, evaluate, seed, threads, vae, tiled }: Options,
  { file, classes, kept, process, sampling, request }: Drawing,
  engine: Engine,
  decoder: Decoder | undefined,
) {
  const { settings } = await plannedSampling({ ...request, engine }, process, sampling);
  return {
    modelFile: modelFacts(file),
    settings: { count, classes, seed, threads, evaluate, process, ...(kept && { kept }), ...settings },
    ...(decoder && { decoder: { path: vae, sha256: await decoder.sha256(), tiled } }),
  };
}

/** Everything needed to make the same samples again, and what came out. */
function factsOf(
  { settings, ...source }: Awaited<ReturnType<typeof sourceOf>>,
  generated: Generated,
): Record<string, unknown> {
  const { images: _images, labels: _labels, settings: used, derived, ...speed } = generated;
  return {
    ...source,
    settings: { ...settings, ...used },
    ...derived,
    ...speed,
  };
}

const evaluationLines = (evaluation: DigitEvaluation): string[] => [
  ...scoreLines(evaluation),
  ...classLines(evaluation.classes),
];

interface Sampling {
  readonly engine: Engine;
  readonly decoder: Decoder | undefined;
  readonly context: CommandContext;
}

/** The images, and those of the grid. @throws DivergedError for what is no image; the signal's reason. */
async function sampleImages(values: Options, { classes, request }: Drawing, { engine, decoder, context }: Sampling) {
  const generated = await generate({
    engine,
    labels: labelsInTurn(classes, values.count),
    ...request,
    onProgress: showProgress(values, performance.now(), context),
    signal: context.signal,
  });
  const { images, labels } = generated;
  if (!decoder && !hasImageChannels(images.shape[1]!)) return { generated };
  const first = images.rows(0, Math.min(labels.length, MOST_SHOWN));
  const shown = decoder ? await decoder.decode(first).finally(() => decoder.release()) : first;
  requireUsable({ first: 0, images: shown, labels: labels.subarray(0, MOST_SHOWN) }, "sample");
  return { generated, shown };
}

const MOST_SHOWN = 400;

/** The file that is there to look at. */
function fileLine(out: string, images: NDArray, shown: NDArray | undefined): string {
  if (!shown) {
    const channels = images.shape[1]!;
    return `${join(out, "samples.safetensors")} (no picture: ${channels}-channel latents need a decoder, give --vae)`;
  }
  const [count, all] = [shown.shape[0]!, images.shape[0]!];
  return `${join(out, "grid.png")}${count < all ? ` (the first ${count})` : ""}`;
}

function speedLine(drawing: Drawing, { labels, secondsPerImage, iterationsPerSecond }: Generated): string {
  const speed = `${secondsPerImage.toPrecision(3)} s an image, ${iterationsPerSecond.toPrecision(3)} it/s`;
  return `${labels.length} images, ${drawerText(drawing)}: ${speed}`;
}
