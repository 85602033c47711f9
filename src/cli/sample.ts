/** `tinyfusion sample`: images from a model file, as a picture and as numbers. */
import { join } from "node:path";
import { InputError } from "../array/input-error.ts";
import { int32, type NDArray } from "../array/ndarray.ts";
import { type DigitReport, evaluateDigits } from "../evaluation/digits.ts";
import { type Generated, type GenerateProgress, generate } from "../evaluation/generate.ts";
import { requireUsable } from "../evaluation/samplers/usable-images.ts";
import { encodeSafetensors } from "../formats/safetensors.ts";
import type { ModelConfig } from "../models/family.ts";
import { cpuEngine } from "../onnx/node-engine.ts";
import { writeAtomically } from "../storage/atomic-write.ts";
import { labelsInTurn } from "./class-options.ts";
import { type CommandContext, command, STOPPED, unlessStopped } from "./command.ts";
import { type Decoder, openDecoder } from "./decoder-options.ts";
import { digitLines } from "./digit-lines.ts";
import {
  type Drawing,
  drawerOptions,
  drawerText,
  drawingOptions,
  modelFacts,
  modelName,
  openDrawing,
} from "./drawing.ts";
import type { OptionTable, Values } from "./option.ts";
import { isPicture, samplePicture } from "./sample-grid.ts";
import { cacheLines } from "./sampling-options.ts";
import { versions } from "./version.ts";

const options = {
  count: { kind: "integer", fallback: 64, min: 1, help: "images" },
  ...drawingOptions,
  evaluate: { kind: "flag", help: "FD-digits, label accuracy, precision and recall (28 × 28 digits only)" },
  out: { kind: "text", help: "folder for grid.png, samples.safetensors, samples.json [samples/MODEL]" },
  ...drawerOptions,
} as const satisfies OptionTable;

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
    const generated = await unlessStopped(context, () =>
      generate({
        engine,
        labels: labelsInTurn(classes, values.count),
        ...drawing.request,
        onProgress: showProgress(values, performance.now(), context),
        signal: context.signal,
      }),
    );
    if (!generated) return STOPPED;
    const { images, labels } = generated;
    const report = values.evaluate ? await evaluateDigits({ engine, images, labels }) : undefined;
    const facts = factsOf(values, { ...drawing, generated, report });
    const out = values.out ?? join("samples", modelName(path!));
    for (const line of await writeSamples(out, facts, generated, classes, decoder)) context.print(line);
    for (const line of [speedLine(drawing, generated), ...cacheLines(generated.derived)]) context.print(line);
    if (report) for (const line of digitLines(report, generated.settings)) context.print(line);
    return 0;
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

/** Every evaluation on a terminal; elsewhere a line for each finished batch. */
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
    if (process.stderr.isTTY || images > before) {
      context.progress({ step, steps, images, secondsLeft, line: { of: count } });
    }
    before = images;
  };
}

interface Facts extends Pick<Drawing, "file" | "classes" | "kept" | "process"> {
  readonly generated: Generated;
  readonly report: DigitReport | undefined;
}

/** Everything needed to make the same samples again, and what came out. */
function factsOf(values: Options, { file, classes, kept, process, generated, report }: Facts): Record<string, unknown> {
  const { count, evaluate, seed, threads } = values;
  const { images: _images, labels: _labels, settings, derived, ...speed } = generated;
  return {
    modelFile: modelFacts(file),
    settings: {
      ...{ count, classes, seed, threads, evaluate, process },
      ...(kept && { kept }),
      ...settings,
    },
    ...derived,
    ...speed,
    ...(report && { digits: report }),
    versions: versions(),
  };
}

/** Writes the folder; returns a line for each file that is there to look at. */
async function writeSamples(
  out: string,
  facts: Record<string, unknown>,
  { images, labels }: Generated,
  classes: readonly number[],
  decoder: Decoder | undefined,
): Promise<string[]> {
  const tensors = new Map<string, NDArray>([
    ["images", images],
    ["labels", int32(labels)],
  ]);
  const channels = images.shape[1]!;
  const shown = decoder || isPicture(channels) ? await shownImages(images, labels, decoder) : undefined;
  await writeAtomically(join(out, "samples.safetensors"), encodeSafetensors(tensors));
  await writeAtomically(join(out, "samples.json"), `${JSON.stringify(facts, null, 2)}\n`);
  if (!shown) {
    return [`${join(out, "samples.safetensors")} (no picture: ${channels}-channel latents need a decoder, give --vae)`];
  }
  await writeAtomically(join(out, "grid.png"), samplePicture(shown, classes.length));
  const rest = shown.shape[0]! < labels.length ? ` (the first ${shown.shape[0]})` : "";
  return [`${join(out, "grid.png")}${rest}`];
}

const MOST_SHOWN = 400;

/** The images of the picture, decoded. @throws DivergedError for what is none. */
async function shownImages(all: NDArray<"float32">, labels: Int32Array, decoder: Decoder | undefined) {
  const first = all.rows(0, Math.min(labels.length, MOST_SHOWN));
  const images = decoder ? await decoder.decode(first).finally(() => decoder.release()) : first;
  requireUsable({ first: 0, images, labels: labels.subarray(0, MOST_SHOWN) }, "sample");
  return images;
}

function speedLine(drawing: Drawing, { labels, secondsPerImage, iterationsPerSecond }: Generated): string {
  const speed = `${secondsPerImage.toPrecision(3)} s an image, ${iterationsPerSecond.toPrecision(3)} it/s`;
  return `${labels.length} images, ${drawerText(drawing)}: ${speed}`;
}
