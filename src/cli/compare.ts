/** `tinyfusion compare`: the same noise through two models, side by side, with differences and times. */
import { InputError } from "../array/input-error.ts";
import type { NDArray } from "../array/ndarray.ts";
import { Autoencoder } from "../data/autoencoder/autoencoder.ts";
import { loadAutoencoder } from "../data/autoencoder/load.ts";
import { imagenetClass } from "../data/class-names.ts";
import { type PairedSamples, pairedSamples } from "../evaluation/paired-samples.ts";
import { cpuEngine } from "../onnx/node-engine.ts";
import type { Engine } from "../onnx/session.ts";
import { writeAtomically } from "../storage/atomic-write.ts";
import type { ModelFile } from "../weights/model-file.ts";
import { command } from "./command.ts";
import { amplificationFor, comparisonPicture, falseColors } from "./compare-picture.ts";
import { fileModelOptions, openNamedModel, stacksText } from "./model-options.ts";
import { type OptionTable, required, UsageError, type Values } from "./option.ts";
import { STOPPED } from "./run-task.ts";
import { isPicture } from "./sample-grid.ts";
import { samplingOf, samplingOptions } from "./sampling-options.ts";
import { chosenProcess, samplingProcessOptions, seedOption, threadsOption } from "./shared-options.ts";
import { tableLines } from "./table.ts";
import { versions } from "./version.ts";

const options = {
  vae: {
    kind: "weights",
    help: "autoencoder that makes pictures of latents: a weight file, or a vae folder of diffusers",
  },
  count: { kind: "integer", fallback: 8, min: 1, max: 400, help: "images" },
  classes: { kind: "text", help: "classes in turn, as 0,1,2 or by ImageNet's names [all of the models']" },
  ...samplingOptions,
  out: { kind: "text", help: "the picture, a .png file" },
  json: { kind: "flag", help: "print JSON" },
  seed: seedOption,
  threads: threadsOption,
  ...fileModelOptions,
  secondWeights: { ...fileModelOptions.weights, help: "the same of the second model, where it differs" },
  ...samplingProcessOptions,
} as const satisfies OptionTable;

type Options = Values<typeof options>;
type Images = NDArray<"float32">;
type Pair = readonly [Images, Images];

export const compare = command({
  name: "compare",
  summary: "Draw images of the same noise with two models: side by side, with differences and times.",
  argument: "<first> <second>",
  options,
  examples: [
    "tinyfusion compare models/digits/teacher.safetensors runs/recovery/checkpoints/step-00002000/ema.safetensors --out pair.png",
    "tinyfusion compare DiT-XL-2-256x256.pt TinyDiT-D14.pt --vae sd-vae-ft-ema/vae --classes 207,360 --cfg 4 --out pair.png --json",
  ],
  async run(values, context, first, second) {
    const out = pictureName(required("out", values.out));
    const open = async (where: string, weights: Options["weights"]) => {
      const file = await openNamedModel(where, { ...values, weights }, context.note);
      return { ...file, process: chosenProcess(values, file.model, file) };
    };
    const models = [
      await open(first!, values.weights),
      await open(second!, values.secondWeights ?? values.weights),
    ] as const;
    const { model, process } = models[0];
    const engine = cpuEngine({ threads: values.threads });
    const sampling = samplingOf(values, process);
    const labels = labelsOf(values, model.config.numClasses);
    const decoder =
      values.vae === undefined ? undefined : await openDecoder(values.vae, engine, model.config.inChannels);
    try {
      const { signal } = context;
      const onRound = (images: number) => context.note(`${images} of ${values.count} images from both models`);
      const paired = await pairedSamples({
        engine,
        models,
        labels,
        seed: values.seed,
        sampling,
        signal,
        onRound,
      });
      const seen = await decoded(paired.images, decoder, signal);
      await writeAtomically(out, comparisonPicture(seen.shown, seen.amplification));
      const facts = {
        ...factsOf(values, models, paired),
        ...differences(seen.compared, labels),
        ...seen.facts,
        picture: out,
      };
      for (const line of values.json ? [JSON.stringify(facts, null, 2)] : linesOf(facts)) context.print(line);
      return 0;
    } catch (error) {
      if (!context.signal.aborted) throw error;
      context.note("stopped; nothing was written");
      return STOPPED;
    } finally {
      await decoder?.release();
    }
  },
});

/** @throws UsageError for another kind of file. */
function pictureName(out: string): string {
  if (/\.png$/i.test(out)) return out;
  throw new UsageError(`--out expects a .png file, got ${out}`);
}

/** @throws InputError naming the classes there are. */
function labelsOf({ classes, count }: Options, numClasses: number): Int32Array {
  const all = Array.from({ length: numClasses }, (_, label) => label);
  const chosen = classes === undefined ? all : classes.split(",").map((text) => labelOf(text, numClasses));
  return Int32Array.from({ length: count }, (_, i) => chosen[i % chosen.length]!);
}

function labelOf(text: string, numClasses: number): number {
  if (numClasses === 1000) return imagenetClass(text);
  const label = /^\s*\d+\s*$/.test(text) ? Number(text) : Number.NaN;
  if (label < numClasses) return label;
  throw new InputError(`--classes: unknown label "${text.trim()}"; the models know 0 to ${numClasses - 1}`);
}

/** @throws InputError for an autoencoder of other latents. */
async function openDecoder(path: string, engine: Engine, channels: number): Promise<Autoencoder> {
  const loaded = await loadAutoencoder(path);
  const { latentChannels } = loaded.config;
  if (latentChannels === channels) return new Autoencoder(engine, loaded);
  throw new InputError(
    `--vae ${path}: expected an autoencoder of the models' ${channels}-channel latents, found ${latentChannels} channels`,
  );
}

interface Seen {
  /** What the differences are taken of. */
  readonly compared: Pair;
  /** What the picture shows. */
  readonly shown: Pair;
  readonly amplification: number;
  readonly facts: { readonly shown: string; readonly amplification: number };
}

/** Images as they are, latents through the decoder or, without one, in false colours. */
async function decoded([a, b]: Pair, decoder: Autoencoder | undefined, signal: AbortSignal): Promise<Seen> {
  const compared: Pair = decoder ? [await decoder.decode(a), await decoder.decode(b)] : [a, b];
  signal.throwIfAborted();
  const channels = compared[0].shape[1]!;
  const shown = isPicture(channels) ? compared : falseColors(compared);
  const amplification = amplificationFor(shown);
  const what = isPicture(channels)
    ? "images"
    : `false colours of latents, the first three of ${channels} channels; --vae decodes`;
  return { compared, shown, amplification, facts: { shown: what, amplification } };
}

interface ImageDifference {
  readonly image: number;
  readonly label: number;
  /** Root of the mean square of the difference, and its largest value; images are about [−1, 1]. */
  readonly rms: number;
  readonly largest: number;
}

function differences([a, b]: Pair, labels: Int32Array): { rms: number; images: ImageDifference[] } {
  const size = a.size / labels.length;
  const images = Array.from(labels, (label, image): ImageDifference => {
    let [squares, largest] = [0, 0];
    for (let i = image * size; i < (image + 1) * size; i++) {
      const difference = Math.abs(b.data[i]! - a.data[i]!);
      squares += difference ** 2;
      largest = Math.max(largest, difference);
    }
    return { image, label, rms: Math.sqrt(squares / size), largest };
  });
  return { rms: Math.sqrt(images.reduce((sum, { rms }) => sum + rms ** 2, 0) / images.length), images };
}

function factsOf({ seed, threads }: Options, files: readonly [ModelFile, ModelFile], paired: PairedSamples) {
  const { secondsPerImage, ratio, rounds, settings } = paired;
  const models = files.map(({ path, sha256, weights, images, model }, i) => {
    return {
      path,
      sha256,
      weights,
      imagesSeen: images,
      blocks: stacksText(model),
      secondsPerImage: secondsPerImage[i]!,
    };
  });
  return { models, ratio, rounds, settings: { ...settings, seed, threads }, versions: versions() };
}

type Facts = ReturnType<typeof factsOf> & ReturnType<typeof differences> & Seen["facts"] & { readonly picture: string };

function linesOf({ models, ratio, rounds, rms, images, shown, amplification, picture }: Facts): string[] {
  const modelRows = models.map(({ path, weights, blocks, secondsPerImage }, i) => {
    const used = weights === "ema" ? "averaged (EMA)" : "raw";
    return ["AB"[i]!, path, `${blocks} blocks`, used, `${secondsPerImage.toPrecision(3)} s an image`];
  });
  const imageRows = images.map(({ image, label, rms, largest }) => {
    return [String(image), String(label), rms.toPrecision(3), largest.toPrecision(3)];
  });
  return [
    ...tableLines(modelRows),
    `time of A ÷ time of B: ${ratio.toFixed(2)} (median of ${rounds} rounds in turn)`,
    "",
    ...tableLines(
      [["image", "class", "RMS of B − A", "largest"], ...imageRows, ["all", "", rms.toPrecision(3), ""]],
      [0, 1, 2, 3],
    ),
    "",
    `${picture}: in each band A, B, and (B − A) × ${amplification} around gray; ${shown}`,
  ];
}
