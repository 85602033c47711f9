/** The digit classifier as a feature network. Its Fréchet distance is FD-digits, never an FID. N images, K classes. */
import { fileURLToPath } from "node:url";
import { InputError } from "../../array/input-error.ts";
import { type NDArray, zeros } from "../../array/ndarray.ts";
import { pixelsToUnit } from "../../data/digits.ts";
import { type Engine, putAll, runAndRead } from "../../engine/engine.ts";
import { asFloat32 } from "../../formats/float16.ts";
import { decodeSafetensors } from "../../formats/safetensors.ts";
import { input, softmax } from "../../graph/build.ts";
import { digitClassifierConfig as config, digitClassifier } from "../../models/digit-classifier.ts";
import { Params } from "../../nn/params.ts";
import { fileSha256 } from "../../storage/checksums.ts";
import { readBytes } from "../../storage/read.ts";
import type { FeatureNetwork, ImageFeatures } from "./extract-features.ts";

/** Written beside everything computed from these features. */
export const digitNetworkName = "digits";

/** The classifier that this package ships (`models/digits/classifier.json` says how it was made). */
export const packagedClassifier = fileURLToPath(
  new URL("../../../models/digits/classifier.safetensors", import.meta.url),
);

const imageShape = [config.imageChannels, config.imageSize, config.imageSize];
/** Rows of one run; the last run is padded, so that an image's features do not depend on how many there are. */
const ROWS = 100;

const imageInput = () => input("x", [ROWS, ...imageShape]);

/** The weights of a classifier of the packaged widths. @throws InputError for a damaged file or one of another shape. */
export function classifierWeights(path: string): ReadonlyMap<string, NDArray> {
  const { tensors } = decodeSafetensors(readBytes(path), path);
  const p = new Params();
  digitClassifier(p, imageInput());
  for (const { name, shape } of p.specs()) {
    const found = tensors.get(name);
    if (String(found?.shape) !== String(shape)) {
      throw new InputError(
        `${path}: the digit classifier needs ${name} [${shape}], found ${found ? `[${found.shape}]` : "none"}`,
      );
    }
  }
  return new Map(Array.from(tensors, ([name, x]) => [name, asFloat32(x)] as const));
}

export interface DigitNetwork extends FeatureNetwork {
  /**
   * Features [N, 64] and probabilities [N, 10] of images [N, 1, 28, 28] in [−1, 1] that are not rounded to bytes.
   * @throws InputError for images of another shape.
   */
  unrounded(images: NDArray<"float32">): Promise<Required<Omit<ImageFeatures, "spatial">>>;
}

/** The classifier of the package, or of another file of the same shape. @throws as {@link classifierWeights}. */
export async function openDigitNetwork(engine: Engine, path = packagedClassifier): Promise<DigitNetwork> {
  const weights = await putAll(engine, classifierWeights(path));
  const sha256 = await fileSha256(path);
  const { features, logits } = digitClassifier(new Params(), imageInput());
  const program = await engine.compile({ outputs: { pooled: features, probabilities: softmax(logits) } });
  const unrounded: DigitNetwork["unrounded"] = async (images) => {
    const [n = 0, ...shape] = images.shape;
    if (String(shape) !== String(imageShape)) {
      throw new InputError(`the digit classifier takes images [N, ${imageShape.join(", ")}], got [${images.shape}]`);
    }
    const found = {
      pooled: zeros("float32", [n, config.featureSize]),
      probabilities: zeros("float32", [n, config.numClasses]),
    };
    const x = zeros("float32", [ROWS, ...imageShape]);
    for (let first = 0; first < n; first += ROWS) {
      const rows = Math.min(ROWS, n - first);
      x.data.set(images.rows(first, first + rows).data);
      const results = await runAndRead(program, { ...weights, x });
      for (const [name, { data, shape }] of Object.entries(found)) {
        data.set(results[name]!.rows(0, rows).data as Float32Array, first * shape[1]!);
      }
    }
    return found;
  };
  return {
    name: digitNetworkName,
    settings: { weights: sha256 },
    release: () => program.release(),
    unrounded,
    async features(images) {
      const [, height, width] = images.shape;
      if (height !== config.imageSize || width !== config.imageSize) {
        throw new InputError(
          `the digit classifier takes images of ${config.imageSize} × ${config.imageSize}, found ${height} × ${width}; ` +
            "choose `features` inception for other images",
        );
      }
      return unrounded(pixelsToUnit(grayOf(images)));
    },
  };
}

/** Digits as the classifier takes them: bytes [N, H, W] → [N, 1, H, W] in [−1, 1]. */
export function classifierInput(bytes: NDArray<"uint8">): NDArray<"float32"> {
  const [n, h, w] = bytes.shape as readonly [number, number, number];
  return pixelsToUnit(bytes).reshape([n, 1, h, w]);
}

/** The class with the largest probability of each row of `probabilities` [N, K]; the first of equal ones. */
export function predictedClasses({ data, shape }: NDArray<"float32">): Int32Array {
  const classes = shape[1]!;
  return Int32Array.from({ length: shape[0]! }, (_, i) => {
    let best = 0;
    for (let k = 1; k < classes; k++) if (data[i * classes + k]! > data[i * classes + best]!) best = k;
    return best;
  });
}

/** [N, H, W, 3] → [N, 1, H, W]. @throws InputError for images whose three channels differ. */
function grayOf({ shape, data }: NDArray<"uint8">): NDArray<"uint8"> {
  const [n, height, width] = shape as readonly [number, number, number, number];
  const gray = zeros("uint8", [n, 1, height, width]);
  for (let i = 0; i < gray.size; i++) {
    const [red, green, blue] = [data[3 * i]!, data[3 * i + 1]!, data[3 * i + 2]!];
    if (red !== green || red !== blue) {
      throw new InputError(
        `the digit classifier takes gray images, found a pixel of ${red}, ${green}, ${blue}; ` +
          "choose `features` inception for coloured ones",
      );
    }
    gray.data[i] = red;
  }
  return gray;
}
