/** `tinyfusion sample`: images from a model file, as a picture and as numbers. */
import { basename, dirname, join } from "node:path";
import { InputError } from "../array/input-error.ts";
import { int32, type NDArray } from "../array/ndarray.ts";
import { Autoencoder } from "../data/autoencoder/autoencoder.ts";
import { loadAutoencoder } from "../data/autoencoder/load.ts";
import { imagenetClass } from "../data/class-names.ts";
import { imagenetClasses } from "../data/imagenet-classes.ts";
import { type DigitReport, evaluateDigits } from "../evaluation/digits.ts";
import { type Generated, type GenerateProgress, generate } from "../evaluation/generate.ts";
import { encodeSafetensors } from "../formats/safetensors.ts";
import type { ModelConfig } from "../models/family.ts";
import { runOnly } from "../nn/run-block.ts";
import { cpuEngine } from "../onnx/node-engine.ts";
import type { Engine } from "../onnx/session.ts";
import { parseKept } from "../pruning/keep-blocks.ts";
import { writeAtomically } from "../storage/atomic-write.ts";
import type { ModelFile } from "../weights/model-file.ts";
import { type CommandContext, command } from "./command.ts";
import { digitLines } from "./digit-lines.ts";
import { fileModelOptions, openNamedModel, parameterCount, stacksText } from "./model-options.ts";
import { type OptionTable, refuseIgnored, type Values } from "./option.ts";
import { STOPPED } from "./run-task.ts";
import { isPicture, samplePicture } from "./sample-grid.ts";
import { samplingOf, samplingOptions } from "./sampling-options.ts";
import { chosenProcess, samplingProcessOptions, seedOption, threadsOption } from "./shared-options.ts";
import { versions } from "./version.ts";

/** Images of one run of the sampler. */
const BATCH = 32;
/** … of models that need the memory for themselves. */
const LARGE_BATCH = 4;
const LARGE_PARAMETERS = 1e8;

const options = {
  count: { kind: "integer", fallback: 64, min: 1, help: "images" },
  classes: { kind: "text", help: "classes in turn, as 0,1,2 or, of ImageNet's, by name [all of the model's]" },
  class: { kind: "text", help: 'one class, as 207 or "golden retriever"' },
  vae: { kind: "weights", help: "autoencoder that turns latents into pictures" },
  tiled: { kind: "flag", help: "decode large latents in tiles: less memory, slightly other pictures" },
  batch: { kind: "integer", min: 2, help: `images computed together [${BATCH}; ${LARGE_BATCH} for large models]` },
  ...samplingOptions,
  kept: { kind: "text", help: "run only these blocks, as 0,2,5; numbers go on through both stacks of a MAR" },
  evaluate: { kind: "flag", help: "FD-digits, label accuracy, precision and recall (28 × 28 digits only)" },
  out: { kind: "text", help: "folder for grid.png, samples.safetensors, samples.json [samples/MODEL]" },
  seed: seedOption,
  threads: threadsOption,
  ...fileModelOptions,
  ...samplingProcessOptions,
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
    'tinyfusion sample TinyDiT-D14.pt --model TinyDiT-D14 --vae sd-vae-ft-ema/vae --class "golden retriever" --count 4 --cfg 4',
    "tinyfusion sample models/digits/teacher.safetensors --classes 3,7 --kept 0,2,4,6,8,10,12,14,16,18,20,22,24,26",
  ],
  async run(values, context, path) {
    const file = await openNamedModel(path!, values, context.note);
    const classes = chosenClasses(values, file.model.config.numClasses, context.given);
    const kept = values.kept === undefined ? undefined : parseKept(values.kept, file.model.config.depth);
    if (values.evaluate) checkEvaluable(values, file.model.config);
    const engine = cpuEngine({ threads: values.threads });
    const decode = await decoderOf(values, file, engine);
    const process = chosenProcess(values, file.model, file);
    const sampling = samplingOf(values, process);
    const generated = await unlessStopped(context, () =>
      generate({
        engine,
        model: file.model,
        weights: file.tensors,
        labels: Int32Array.from({ length: values.count }, (_, i) => classes[i % classes.length]!),
        process,
        seed: values.seed,
        internalBatch: values.batch ?? (parameterCount(file.tensors.values()) < LARGE_PARAMETERS ? BATCH : LARGE_BATCH),
        ...sampling,
        ...(kept && { runBlock: runOnly(kept) }),
        onProgress: showProgress(values, performance.now(), context),
        signal: context.signal,
      }),
    );
    if (!generated) return STOPPED;
    const { images, labels } = generated;
    const report = values.evaluate ? await evaluateDigits({ engine, images, labels }) : undefined;
    const facts = factsOf(values, { file, classes, kept, generated, report });
    const out = values.out ?? join("samples", modelName(path!));
    for (const line of await writeSamples(out, facts, generated, classes, decode)) context.print(line);
    context.print(speedLine(file, generated, kept));
    if (report) for (const line of digitLines(report, generated.settings)) context.print(line);
    return 0;
  },
});

/** @throws InputError naming the classes there are. */
function chosenClasses(values: Options, numClasses: number, given: ReadonlySet<string>): number[] {
  const all = Array.from({ length: numClasses }, (_, k) => k);
  const labelOf = (flag: string) => (part: string) => {
    const label = /^\s*\d+\s*$/.test(part) ? Number(part) : Number.NaN;
    if (label < numClasses) return label;
    if (numClasses === imagenetClasses.length) return imagenetClass(part);
    const known = numClasses <= 20 ? all.join(", ") : `0 to ${numClasses - 1}`;
    throw new InputError(`${flag}: unknown label "${part.trim()}"; the model knows ${known}`);
  };
  if (values.class !== undefined) {
    refuseIgnored(given, "--class", ["classes"], "both say which classes are drawn");
    return [labelOf("--class")(values.class)];
  }
  return values.classes?.split(",").map(labelOf("--classes")) ?? all;
}

type Decode = (latents: NDArray<"float32">) => Promise<NDArray<"float32">>;

/** What makes pictures of latents, loaded before any time is spent. @throws InputError for one of other latents. */
async function decoderOf({ vae, tiled }: Options, { model }: ModelFile, engine: Engine): Promise<Decode | undefined> {
  if (vae === undefined) return undefined;
  const loaded = await loadAutoencoder(vae);
  const { inChannels } = model.config;
  if (loaded.config.latentChannels !== inChannels) {
    throw new InputError(`${vae} decodes ${loaded.config.latentChannels} channels, the model makes ${inChannels}`);
  }
  return async (latents) => {
    const autoencoder = new Autoencoder(engine, loaded);
    try {
      return await autoencoder.decode(latents, { tiled });
    } finally {
      await autoencoder.release();
    }
  };
}

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

/** The result, or undefined if the user stopped it. */
async function unlessStopped<T>({ signal, note }: CommandContext, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!signal.aborted) throw error;
    note("stopped; nothing was written");
    return undefined;
  }
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

/** `runs/teacher/checkpoints/step-00002000/ema.safetensors` → `teacher-step-00002000-ema`; else the file's own name. */
function modelName(path: string): string {
  const name = basename(path).replace(/\.safetensors$/, "");
  const checkpoint = basename(dirname(path));
  return checkpoint.startsWith("step-") ? `${basename(dirname(dirname(dirname(path))))}-${checkpoint}-${name}` : name;
}

interface Facts {
  readonly file: ModelFile;
  readonly classes: readonly number[];
  readonly kept: readonly number[] | undefined;
  readonly generated: Generated;
  readonly report: DigitReport | undefined;
}

/** Everything needed to make the same samples again, and what came out. */
function factsOf(values: Options, { file, classes, kept, generated, report }: Facts): Record<string, unknown> {
  const { count, evaluate, seed, threads } = values;
  const { images: _images, labels: _labels, settings, derived, ...speed } = generated;
  const { path, sha256, weights, images, prunings, model } = file;
  return {
    modelFile: { path, sha256, weights, images, prunings, config: model.config },
    settings: {
      ...{ count, classes, seed, threads, evaluate, process: chosenProcess(values, model, file) },
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
  decode?: Decode,
): Promise<string[]> {
  const tensors = new Map<string, NDArray>([
    ["images", images],
    ["labels", int32(labels)],
  ]);
  await writeAtomically(join(out, "samples.safetensors"), encodeSafetensors(tensors));
  await writeAtomically(join(out, "samples.json"), `${JSON.stringify(facts, null, 2)}\n`);
  const channels = images.shape[1]!;
  if (!decode && !isPicture(channels)) {
    return [`${join(out, "samples.safetensors")} (no picture: ${channels}-channel latents need a decoder, give --vae)`];
  }
  const first = images.rows(0, Math.min(images.shape[0]!, 400));
  const shown = decode ? await decode(first) : first;
  await writeAtomically(join(out, "grid.png"), samplePicture(shown, classes.length));
  const rest = shown.size < images.size ? ` (the first ${shown.shape[0]})` : "";
  return [`${join(out, "grid.png")}${rest}`];
}

function speedLine({ weights, model }: ModelFile, generated: Generated, kept: readonly number[] | undefined): string {
  const { secondsPerImage, iterationsPerSecond } = generated;
  const blocks = kept ? `${kept.length} of ${model.config.depth} blocks` : `${stacksText(model)} blocks`;
  const weightsUsed = weights === "ema" ? "averaged (EMA)" : "raw";
  return (
    `${generated.labels.length} images, ${weightsUsed} weights, ${blocks}: ` +
    `${secondsPerImage.toPrecision(3)} s an image, ${iterationsPerSecond.toPrecision(3)} it/s`
  );
}
