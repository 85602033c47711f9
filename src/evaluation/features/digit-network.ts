/** The packaged digit classifier as a network that looks at images. Its Fréchet distance is FD-digits, never an FID. */
import { InputError } from "../../array/input-error.ts";
import { type NDArray, zeros } from "../../array/ndarray.ts";
import { pixelsToUnit } from "../../data/digits.ts";
import type { Engine } from "../../engine/engine.ts";
import { fileSha256 } from "../../storage/checksums.ts";
import { compileDigitClassifier, loadDigitClassifier, packagedClassifier } from "./digit-features.ts";
import type { FeatureNetwork, ImageFeatures } from "./feature-network.ts";

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
