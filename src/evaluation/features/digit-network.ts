/** The packaged digit classifier as a network that looks at images. Its Fréchet distance is FD-digits, never an FID. */
import { InputError } from "../../array/input-error.ts";
import { type NDArray, zeros } from "../../array/ndarray.ts";
import { pixelsToUnit } from "../../data/digits.ts";
import type { Engine } from "../../engine/engine.ts";
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
      const { features, probabilities } = await compiled.look(pixelsToUnit(grayOf(images)));
      return { pooled: features, probabilities };
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
