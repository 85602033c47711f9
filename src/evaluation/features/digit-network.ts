/** The packaged digit classifier as a network that looks at images. Its Fréchet distance is FD-digits, never an FID. */
import { InputError } from "../../array/input-error.ts";
import { type NDArray, zeros } from "../../array/ndarray.ts";
import { pixelsToUnit } from "../../data/digits.ts";
import type { Engine } from "../../onnx/session.ts";
import { fileBytes, sha256Of } from "../../storage/read.ts";
import { compileDigitClassifier, loadDigitClassifier, packagedClassifier } from "./digit-features.ts";
import type { FeatureNetwork } from "./feature-network.ts";

/** Written beside everything computed from these features. */
export const digitNetworkName = "digits";

/** The classifier of the package, or of another file of the same shape. */
export async function openDigitNetwork(engine: Engine, path = packagedClassifier): Promise<FeatureNetwork> {
  const classifier = loadDigitClassifier(path);
  const { imageSize } = classifier.config;
  const sha256 = await sha256Of(await fileBytes(path));
  const compiled = await compileDigitClassifier(engine, classifier);
  return {
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
      const { features, logits } = await compiled.look(pixelsToUnit(firstChannel(images)));
      return { pooled: features, probabilities: softmaxRows(logits) };
    },
  };
}

/** Gray images have three equal channels: [N, H, W, 3] → [N, 1, H, W]. */
function firstChannel({ shape, data }: NDArray<"uint8">): NDArray<"uint8"> {
  const [n, height, width, channels] = shape as readonly [number, number, number, number];
  const gray = zeros("uint8", [n, 1, height, width]);
  for (let i = 0; i < gray.size; i++) gray.data[i] = data[i * channels]!;
  return gray;
}

/** Logits [N, K] → probabilities. */
function softmaxRows(logits: NDArray<"float32">): NDArray<"float32"> {
  const [n, classes] = logits.shape as readonly [number, number];
  const shares = zeros("float32", [n, classes]);
  for (let row = 0; row < n; row++) {
    const own = logits.rows(row, row + 1).data;
    const top = Math.max(...own);
    const powers = own.map((x) => Math.exp(x - top));
    const total = powers.reduce((sum, x) => sum + x, 0);
    shares.data.set(
      powers.map((x) => x / total),
      row * classes,
    );
  }
  return shares;
}
