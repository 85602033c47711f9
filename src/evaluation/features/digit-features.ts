/** What the digit classifier sees in images: 64 features each, and the class it takes them for. N images, K classes. */
import { fileURLToPath } from "node:url";
import { InputError } from "../../array/input-error.ts";
import { float32, NDArray, sizeOf } from "../../array/ndarray.ts";
import { pixelsToUnit } from "../../data/digits.ts";
import { asFloat32 } from "../../formats/float16.ts";
import { decodeSafetensors } from "../../formats/safetensors.ts";
import { input } from "../../graph/build.ts";
import { type DigitClassifierConfig, digitClassifier, digitClassifierConfig } from "../../models/digit-classifier.ts";
import { Params } from "../../nn/params.ts";
import type { Engine } from "../../onnx/session.ts";
import { readBytes } from "../../storage/read.ts";

/** A classifier with its weights. */
export interface DigitClassifier {
  readonly config: DigitClassifierConfig;
  readonly weights: ReadonlyMap<string, NDArray>;
}

export interface DigitFeatures {
  /** Penultimate activations [N, 64]. */
  readonly features: NDArray<"float32">;
  /** The class with the largest logit, [N]. */
  readonly predicted: Int32Array;
}

/** The classifier that this package ships (`models/digits/classifier.json` says how it was made). */
export const packagedClassifier = fileURLToPath(
  new URL("../../../models/digits/classifier.safetensors", import.meta.url),
);

/** Reads the classifier of the packaged widths. @throws InputError for a damaged file or one of another shape. */
export function loadDigitClassifier(path = packagedClassifier): DigitClassifier {
  const { tensors } = decodeSafetensors(readBytes(path), path);
  const p = new Params();
  digitClassifier(p, imageInput(2, digitClassifierConfig));
  for (const { name, shape } of p.specs()) {
    const found = tensors.get(name);
    if (String(found?.shape) !== String(shape)) {
      throw new InputError(
        `${path}: the digit classifier needs ${name} [${shape}], found ${found ? `[${found.shape}]` : "none"}`,
      );
    }
  }
  const weights = new Map(Array.from(tensors, ([name, x]) => [name, asFloat32(x)] as const));
  return { config: digitClassifierConfig, weights };
}

const imageInput = (rows: number, { imageChannels, imageSize }: DigitClassifierConfig) =>
  input("x", [rows, imageChannels, imageSize, imageSize]);

/** Rows of one run; the last run is padded, so that an image's features do not depend on how many there are. */
const ROWS = 100;

/**
 * Features and classes of `images` [N, 1, 28, 28] in [−1, 1], by the packaged classifier unless another is given.
 * @throws InputError for images of another shape.
 */
export async function digitFeatures(
  engine: Engine,
  images: NDArray<"float32">,
  { config, weights }: DigitClassifier = loadDigitClassifier(),
): Promise<DigitFeatures> {
  const [n = 0, ...imageShape] = images.shape;
  const expected = [config.imageChannels, config.imageSize, config.imageSize];
  if (String(imageShape) !== String(expected)) {
    throw new InputError(`the digit classifier sees images [N, ${expected.join(", ")}], got [${images.shape}]`);
  }
  const { features, logits } = digitClassifier(new Params(), imageInput(ROWS, config), config);
  const session = await engine.compile({ outputs: { features, logits } });
  const fed = Object.fromEntries(weights);
  const found = new Float32Array(n * config.featureSize);
  const predicted = new Int32Array(n);
  const x = new NDArray("float32", [ROWS, ...imageShape], new Float32Array(ROWS * sizeOf(imageShape)));
  for (let first = 0; first < n; first += ROWS) {
    const rows = Math.min(ROWS, n - first);
    x.data.set(images.rows(first, first + rows).data);
    const results = await session.run({ ...fed, x });
    found.set(results.features!.rows(0, rows).data as Float32Array, first * config.featureSize);
    for (let row = 0; row < rows; row++) {
      predicted[first + row] = largest(results.logits!.rows(row, row + 1).data as Float32Array);
    }
  }
  await session.release();
  return { features: float32(found, [n, config.featureSize]), predicted };
}

/** Digits as the classifier sees them: bytes [N, H, W] → [N, 1, H, W] in [−1, 1]. */
export function digitPictures(bytes: NDArray<"uint8">): NDArray<"float32"> {
  const [n, h, w] = bytes.shape as readonly [number, number, number];
  return pixelsToUnit(bytes).reshape([n, 1, h, w]);
}

/** Position of the largest value; the first of equal ones. */
function largest(values: Float32Array): number {
  let best = 0;
  for (let k = 1; k < values.length; k++) if (values[k]! > values[best]!) best = k;
  return best;
}
