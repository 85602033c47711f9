/** Samples from the same noise by two models: side by side, with differences and times. */
import { NDArray, sizeOf, stackedRows } from "../array/ndarray.ts";
import { pairedSamples } from "../evaluation/speed/paired-samples.ts";
import { encodePng, imageGrid } from "../formats/image-bytes.ts";
import { hasNullClass } from "../models/family.ts";
import type { SamplingPrecision } from "../sampling/sampling-settings.ts";
import { requireUsable } from "../sampling/usable-images.ts";
import { requireWritableFile, writeAtomically } from "../storage/atomic-write.ts";
import { stacksText } from "../weights/fitting-models.ts";
import type { OpenedModel } from "../weights/model-file.ts";
import { type Decoder, decoderSettings, openDecoder } from "./decoder-settings.ts";
import { hasImageChannels } from "./grid-png.ts";
import { fileModelSettings, openOneOfTwo } from "./model-settings.ts";
import {
  chosenClasses,
  chosenSampling,
  classSettings,
  labelsInTurn,
  samplingSettings,
  secondPrecisionSetting,
} from "./sampling-settings.ts";
import { required, SettingError, type SettingTable, type Values } from "./settings.ts";
import {
  chosenProcess,
  engineSettings,
  recordedDevice,
  samplingProcessSettings,
  seedSetting,
} from "./shared-settings.ts";
import { startTask, type TaskSettings } from "./task.ts";
import { versions } from "./version.ts";

export const compareSettings = {
  first: { kind: "weights", help: "first model" },
  second: { kind: "weights", help: "second model" },
  count: { kind: "integer", fallback: 8, min: 1, max: 400, help: "images" },
  out: { kind: "text", help: "the picture, a .png file" },
  ...classSettings,
  ...decoderSettings,
  ...samplingSettings,
  seed: seedSetting,
  ...engineSettings,
  ...fileModelSettings,
  secondWeights: { ...fileModelSettings.weights, help: "weights of the second model [as `weights`]" },
  secondPrecision: secondPrecisionSetting,
  ...samplingProcessSettings,
} as const satisfies SettingTable;

type ComparedFile = OpenedModel & { readonly precision: SamplingPrecision };
type CompareValues = Values<typeof compareSettings>;
type Images = NDArray<"float32">;
type Pair = readonly [Images, Images];

interface ImageDifference {
  readonly image: number;
  readonly label: number;
  /** Root mean square of the difference, and its largest value; images are about [−1, 1]. */
  readonly rms: number;
  readonly largest: number;
}

export interface CompareResult {
  readonly models: readonly {
    readonly path: string;
    readonly sha256: string;
    readonly weights: "raw" | "ema";
    readonly imagesSeen: number;
    readonly blocks: string;
    readonly precision: SamplingPrecision;
    readonly secondsPerImage: number;
  }[];
  /** Median over the rounds of the first model's time ÷ the second's. */
  readonly ratio: number;
  readonly rounds: number;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly versions: Readonly<Record<string, string>>;
  /** Over all images. */
  readonly rms: number;
  readonly images: readonly ImageDifference[];
  /** What the picture shows, by how much differences are amplified, and where it is. */
  readonly shown: string;
  readonly amplification: number;
  readonly picture: string;
}

/**
 * Compares two models by what they sample from the same noise; writes a picture.
 * @throws InputError for models that cannot be compared, or settings that do not fit them; the signal's reason.
 */
export async function compare(settings: TaskSettings<typeof compareSettings>): Promise<CompareResult> {
  const { values, context } = await startTask(compareSettings, settings);
  const { seed, threads, count } = values;
  const { note, signal, given } = context;
  const picture = required("out", values.out);
  if (!/\.png$/i.test(picture)) throw new SettingError(`\`out\` expects a .png file, got ${picture}`);
  requireWritableFile(picture);
  const models = await openPair(values, note);
  const { model, process } = models[0];
  const engine = context.engine();
  const unguided = models.find((one) => !hasNullClass(one.model.config)) ?? models[0];
  const sampling = chosenSampling(values, process, unguided.model.config, note);
  const labels = labelsInTurn(chosenClasses(values, model.config.numClasses, given), count);
  const decoder = await openDecoder(values, model.config, engine, note);
  const onRound = (images: number) => note(`${images} of ${count} images from both models`);
  const paired = await pairedSamples({ engine, models, labels, seed, sampling, signal, onRound });
  const { compared, shown, ...facts } = await decoded(paired.images, labels, decoder, signal);
  await writeAtomically(picture, comparisonPng(shown, facts.amplification));
  return {
    models: models.map(({ path, sha256, weights, images, model, precision }, i) => {
      const secondsPerImage = paired.secondsPerImage[i]!;
      return { path, sha256, weights, imagesSeen: images, blocks: stacksText(model), precision, secondsPerImage };
    }),
    ratio: paired.ratio,
    rounds: paired.rounds,
    settings: { ...paired.settings, seed, threads, ...recordedDevice(values) },
    versions: versions(),
    ...differences(compared, labels),
    shown: facts.text,
    amplification: facts.amplification,
    picture,
  };
}

async function openPair(
  values: CompareValues,
  note: (line: string) => void,
): Promise<readonly [ComparedFile, ComparedFile]> {
  const open = async (path: string, weights: string | undefined, precision: SamplingPrecision) => {
    const file = await openOneOfTwo(path, { ...values, weights }, note);
    return { ...file, process: chosenProcess(values, file.model, file), precision };
  };
  const {
    first,
    second,
    weights,
    secondWeights = weights,
    precision = "float32",
    secondPrecision = precision,
  } = values;
  return [
    await open(required("first", first), weights, precision),
    await open(required("second", second), secondWeights, secondPrecision),
  ];
}

/** Images as they are; latents decoded or, without a decoder, in false colors. */
async function decoded([a, b]: Pair, labels: Int32Array, decoder: Decoder | undefined, signal: AbortSignal) {
  const count = a.shape[0]!;
  const both = await decoder?.decode(stackedRows([a, b])).finally(() => decoder.release());
  const compared: Pair = both ? [both.rows(0, count), both.rows(count, 2 * count)] : [a, b];
  for (const [i, images] of compared.entries()) requireUsable({ first: 0, images, labels }, `compare: ${"AB"[i]}`);
  signal.throwIfAborted();
  const channels = compared[0].shape[1]!;
  const areImages = hasImageChannels(channels);
  const shown = areImages ? compared : falseColors(compared);
  const text = areImages ? "images" : `false colors of latents, the first three of ${channels} channels`;
  return { compared, shown, amplification: amplificationFor(shown), text };
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

/** Images in a row; more of them form another band below. */
const COLUMNS = 8;
/** Small images are enlarged up to about this many pixels. */
const LARGE_ENOUGH = 96;

/** Bands of three rows, first model, second model, second − first times `amplification` around gray, as PNG. */
export function comparisonPng([a, b]: Pair, amplification: number): Uint8Array {
  const amplified = b.data.map((value, i) => (value - a.data[i]!) * amplification);
  const difference = new NDArray("float32", b.shape, amplified);
  const [count, channels, side] = a.shape as [number, number, number];
  const columns = Math.min(COLUMNS, count);
  const bands = Math.ceil(count / columns);
  const size = sizeOf(a.shape.slice(1));
  const all = new Float32Array(3 * bands * columns * size).fill(1); // white where the last band is not full
  for (let band = 0; band < bands; band++) {
    const end = Math.min(count, (band + 1) * columns);
    for (const [row, images] of [a, b, difference].entries()) {
      all.set(images.rows(band * columns, end).data, (3 * band + row) * columns * size);
    }
  }
  const grid = new NDArray("float32", [3 * bands * columns, channels, side, side], all);
  return encodePng(imageGrid(grid, columns, { scale: Math.max(1, Math.floor(LARGE_ENOUGH / side)) }));
}

/** The power of two, from 1 to 1024, that shows all but the largest hundredth of the differences in full. */
export function amplificationFor([a, b]: Pair): number {
  const differences = Float32Array.from(a.data, (value, i) => Math.abs(value - b.data[i]!)).sort();
  const large = differences[Math.floor(differences.length * 0.99)]!;
  return large === 0 ? 1 : Math.min(1024, Math.max(1, 2 ** Math.floor(-Math.log2(large))));
}

/**
 * The first three channels of latents as red, green and blue, all by one scale: three standard deviations of the first
 * model's numbers fill the range. Missing channels are gray.
 */
export function falseColors([a, b]: Pair): Pair {
  let squares = 0;
  for (const value of a.data) squares += value * value;
  const scale = 1 / (3 * Math.sqrt(squares / a.size) || 1);
  const colored = (latents: Images): Images => {
    const [count, channels, height, width] = latents.shape as [number, number, number, number];
    const plane = height * width;
    const data = new Float32Array(count * 3 * plane);
    for (let n = 0; n < count; n++) {
      const shown = latents.data.subarray(n * channels * plane, (n * channels + Math.min(3, channels)) * plane);
      data.set(
        shown.map((value) => value * scale),
        3 * n * plane,
      );
    }
    return new NDArray("float32", [count, 3, height, width], data);
  };
  return [colored(a), colored(b)];
}
