/** The digit classifier as a feature network: 64 features of each image, and the class it is taken for. Its Fréchet distance is FD-digits, never an FID. N images, K classes. */
import { fileURLToPath } from "node:url";
import { InputError } from "../../array/input-error.ts";
import { type NDArray, zeros } from "../../array/ndarray.ts";
import { pixelsToUnit } from "../../data/digits.ts";
import type { Engine } from "../../engine/engine.ts";
import { asFloat32 } from "../../formats/float16.ts";
import { decodeSafetensors } from "../../formats/safetensors.ts";
import { input, softmax } from "../../graph/build.ts";
import { type DigitClassifierConfig, digitClassifier, digitClassifierConfig } from "../../models/digit-classifier.ts";
import { Params } from "../../nn/params.ts";
import { fileSha256 } from "../../storage/checksums.ts";
import { readBytes } from "../../storage/read.ts";
import type { FeatureNetwork, ImageFeatures } from "./extract-features.ts";

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

/** A classifier at work. */
export interface CompiledDigitClassifier {
  /**
   * Features [N, 64], logits and probabilities [N, 10] of images [N, 1, 28, 28] in [−1, 1].
   * @throws InputError for images of another shape.
   */
  classify(images: NDArray<"float32">): Promise<Record<"features" | "logits" | "probabilities", NDArray<"float32">>>;
  release(): Promise<void>;
}

/** One session for any number of images. */
export async function compileDigitClassifier(
  engine: Engine,
  { config, weights }: DigitClassifier,
): Promise<CompiledDigitClassifier> {
  const { features, logits } = digitClassifier(new Params(), imageInput(ROWS, config), config);
  const outputs = { features, logits, probabilities: softmax(logits) };
  const session = await engine.compile({ outputs });
  const fed = Object.fromEntries(weights);
  const imageShape = [config.imageChannels, config.imageSize, config.imageSize];
  return {
    release: () => session.release(),
    async classify(images) {
      const [n = 0, ...shape] = images.shape;
      if (String(shape) !== String(imageShape)) {
        throw new InputError(`the digit classifier sees images [N, ${imageShape.join(", ")}], got [${images.shape}]`);
      }
      const found = {
        features: zeros("float32", [n, config.featureSize]),
        logits: zeros("float32", [n, config.numClasses]),
        probabilities: zeros("float32", [n, config.numClasses]),
      };
      const x = zeros("float32", [ROWS, ...imageShape]);
      for (let first = 0; first < n; first += ROWS) {
        const rows = Math.min(ROWS, n - first);
        x.data.set(images.rows(first, first + rows).data);
        const results = await session.run({ ...fed, x });
        for (const [name, { data, shape }] of Object.entries(found)) {
          data.set(results[name]!.rows(0, rows).data as Float32Array, first * shape[1]!);
        }
      }
      return found;
    },
  };
}

/**
 * Features and classes of `images` [N, 1, 28, 28] in [−1, 1], by the packaged classifier unless another is given.
 * @throws InputError for images of another shape.
 */
export async function digitFeatures(
  engine: Engine,
  images: NDArray<"float32">,
  classifier: DigitClassifier = loadDigitClassifier(),
): Promise<DigitFeatures> {
  const compiled = await compileDigitClassifier(engine, classifier);
  try {
    const { features, logits } = await compiled.classify(images);
    const predicted = Int32Array.from({ length: logits.shape[0]! }, (_, i) => largest(logits.rows(i, i + 1).data));
    return { features, predicted };
  } finally {
    await compiled.release();
  }
}

/** Digits as the classifier sees them: bytes [N, H, W] → [N, 1, H, W] in [−1, 1]. */
export function classifierInput(bytes: NDArray<"uint8">): NDArray<"float32"> {
  const [n, h, w] = bytes.shape as readonly [number, number, number];
  return pixelsToUnit(bytes).reshape([n, 1, h, w]);
}

/** Position of the largest value; the first of equal ones. */
export function largest(values: Float32Array): number {
  let best = 0;
  for (let k = 1; k < values.length; k++) if (values[k]! > values[best]!) best = k;
  return best;
}

/** Written beside everything computed from these features. */
export const digitNetworkName = "digits";

/** The digit classifier, which also takes images that are not rounded to bytes. */
export interface DigitNetwork extends FeatureNetwork {
  /** Features of images [N, 1, 28, 28] in [−1, 1]. @throws InputError for images of another shape. */
  unrounded(images: NDArray<"float32">): Promise<ImageFeatures>;
}

/** The classifier of the package, or of another file of the same shape. */
export async function openDigitNetwork(engine: Engine, path = packagedClassifier): Promise<DigitNetwork> {
  const classifier = loadDigitClassifier(path);
  const { imageSize } = classifier.config;
  const sha256 = await fileSha256(path);
  const compiled = await compileDigitClassifier(engine, classifier);
  const unrounded = async (images: NDArray<"float32">): Promise<ImageFeatures> => {
    const { features, probabilities } = await compiled.classify(images);
    return { pooled: features, probabilities };
  };
  return {
    unrounded,
    name: digitNetworkName,
    settings: { weights: sha256 },
    release: () => compiled.release(),
    async features(images) {
      const [, height, width] = images.shape;
      if (height !== imageSize || width !== imageSize) {
        throw new InputError(
          `the digit classifier sees images of ${imageSize} × ${imageSize}, found ${height} × ${width}; ` +
            "choose --features inception for other images",
        );
      }
      return unrounded(pixelsToUnit(grayOf(images)));
    },
  };
}

/** [N, H, W, 3] → [N, 1, H, W]. @throws InputError for images whose three channels differ. */
function grayOf({ shape, data }: NDArray<"uint8">): NDArray<"uint8"> {
  const [n, height, width] = shape as readonly [number, number, number, number];
  const gray = zeros("uint8", [n, 1, height, width]);
  for (let i = 0; i < gray.size; i++) {
    const [red, green, blue] = [data[3 * i]!, data[3 * i + 1]!, data[3 * i + 2]!];
    if (red !== green || red !== blue) {
      throw new InputError(
        `the digit classifier sees gray images, found a pixel of ${red}, ${green}, ${blue}; ` +
          "choose --features inception for coloured ones",
      );
    }
    gray.data[i] = red;
  }
  return gray;
}
