/** `tinyfusion compare`: the same noise through two models, side by side, with differences and times. */
import { type NDArray, stackedRows } from "../array/ndarray.ts";
import { cpuEngine } from "../engine/onnx/node-engine.ts";
import { type PairedSamples, pairedSamples } from "../evaluation/speed/paired-samples.ts";
import { hasNullClass } from "../models/family.ts";
import { requireUsable } from "../sampling/usable-images.ts";
import { requireWritableFile, writeAtomically } from "../storage/atomic-write.ts";
import { type Decoder, decoderSettings, openDecoder } from "../tasks/decoder-settings.ts";
import { hasImageChannels } from "../tasks/grid-png.ts";
import { fileModelSettings, openOneOfTwo } from "../tasks/model-settings.ts";
import {
  chosenClasses,
  chosenSampling,
  classSettings,
  labelsInTurn,
  samplingSettings,
} from "../tasks/sampling-settings.ts";
import { required, SettingError, type SettingTable, type Values } from "../tasks/settings.ts";
import { chosenProcess, samplingProcessSettings, seedSetting, threadsSetting } from "../tasks/shared-settings.ts";
import { versions } from "../tasks/version.ts";
import { stacksText } from "../weights/fitting-models.ts";
import type { ModelFile } from "../weights/model-file.ts";
import { command, STOPPED, unlessStopped } from "./command.ts";
import { amplificationFor, comparisonPicture, falseColors } from "./compare-picture.ts";
import { tableLines } from "./table.ts";

const options = {
  count: { kind: "integer", fallback: 8, min: 1, max: 400, help: "images" },
  ...classSettings,
  ...decoderSettings,
  ...samplingSettings,
  out: { kind: "text", help: "the picture, a .png file" },
  json: { kind: "flag", help: "print JSON" },
  seed: seedSetting,
  threads: threadsSetting,
  ...fileModelSettings,
  secondWeights: { ...fileModelSettings.weights, help: "the same of the second model, where it differs" },
  ...samplingProcessSettings,
} as const satisfies SettingTable;

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
    "tinyfusion compare DiT-XL-2-256x256.pt TinyDiT-D14.pt --model DiT-XL/2 --vae hf:stabilityai/sd-vae-ft-ema --classes 207,360 --cfg 4 --out pair.png --json",
  ],
  async run(values, context, first, second) {
    const out = pictureName(required("out", values.out));
    const open = async (where: string, weights: Options["weights"]) => {
      const file = await openOneOfTwo(where, { ...values, weights }, context.note);
      return { ...file, process: chosenProcess(values, file.model, file) };
    };
    const models = [
      await open(first!, values.weights),
      await open(second!, values.secondWeights ?? values.weights),
    ] as const;
    const { model, process } = models[0];
    const engine = cpuEngine({ threads: values.threads });
    const without = models.find((one) => !hasNullClass(one.model.config)) ?? models[0];
    const sampling = chosenSampling(values, process, without.model.config, context.note);
    const labels = labelsInTurn(chosenClasses(values, model.config.numClasses, context.given), values.count);
    const decoder = await openDecoder(values, model.config, engine, context.note);
    const drawn = await unlessStopped(context, async () => {
      const onRound = (images: number) => context.note(`${images} of ${values.count} images from both models`);
      const { signal } = context;
      const paired = await pairedSamples({ engine, models, labels, seed: values.seed, sampling, signal, onRound });
      return { paired, seen: await decoded(paired.images, labels, decoder, signal) };
    });
    if (!drawn) return STOPPED;
    const { paired, seen } = drawn;
    await writeAtomically(out, comparisonPicture(seen.shown, seen.amplification));
    const facts = {
      ...factsOf(values, models, paired),
      ...differences(seen.compared, labels),
      ...seen.facts,
      picture: out,
    };
    for (const line of values.json ? [JSON.stringify(facts, null, 2)] : linesOf(facts)) context.print(line);
    return 0;
  },
});

/** @throws SettingError for another kind of file, InputError where none can be written. */
function pictureName(out: string): string {
  if (!/\.png$/i.test(out)) throw new SettingError(`--out expects a .png file, got ${out}`);
  requireWritableFile(out);
  return out;
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
async function decoded(
  [a, b]: Pair,
  labels: Int32Array,
  decoder: Decoder | undefined,
  signal: AbortSignal,
): Promise<Seen> {
  const count = a.shape[0]!;
  const both = await decoder?.decode(stackedRows([a, b])).finally(() => decoder.release());
  const compared: Pair = both ? [both.rows(0, count), both.rows(count, 2 * count)] : [a, b];
  for (const [i, images] of compared.entries()) requireUsable({ first: 0, images, labels }, `compare: ${"AB"[i]}`);
  signal.throwIfAborted();
  const channels = compared[0].shape[1]!;
  const shown = hasImageChannels(channels) ? compared : falseColors(compared);
  const amplification = amplificationFor(shown);
  const what = hasImageChannels(channels)
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
