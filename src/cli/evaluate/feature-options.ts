/** Which network looks at the images of a command. */
import { InputError } from "../../array/input-error.ts";
import { zeros } from "../../array/ndarray.ts";
import type { Engine } from "../../engine/engine.ts";
import { openDigitNetwork } from "../../evaluation/features/digit-network.ts";
import type { FeatureNetwork, ImageFeatures } from "../../evaluation/features/feature-network.ts";
import { openInception } from "../../evaluation/features/inception.ts";
import { inceptionResizings } from "../../evaluation/features/inception-input.ts";
import type { SettingTable, Values } from "../../tasks/settings.ts";

export const featureOptions = {
  features: {
    kind: "choice",
    choices: ["digits", "inception"],
    help: "whose features are compared: the packaged digit classifier's, or Inception-v3's [digits for 28 × 28 images]",
  },
  inceptionWeights: {
    kind: "weights",
    help: "Inception-v3 of 2015-12-05: pt_inception-2015-12-05-6726825d.pth (pytorch-fid) or inception-2015-12-05.pt (clean-fid)",
  },
  resize: {
    kind: "choice",
    choices: inceptionResizings,
    fallback: "tf",
    help: "how images become 299 × 299 for Inception: as the ADM evaluator (tf), antialiased as clean-fid (clean), or as pytorch-fid (torch)",
  },
} as const satisfies SettingTable;

const DIGIT_SIDE = 28;

/**
 * The network that the options name, or that images of this size suggest.
 * @throws InputError for Inception without weights.
 */
export async function openNetwork(
  values: Values<typeof featureOptions>,
  { height, width }: { readonly height: number; readonly width: number },
  engine: Engine,
): Promise<FeatureNetwork> {
  const isDigit = height === DIGIT_SIDE && width === DIGIT_SIDE && values.inceptionWeights === undefined;
  const chosen = values.features ?? (isDigit ? "digits" : "inception");
  if (chosen === "digits") return openDigitNetwork(engine);
  if (values.inceptionWeights === undefined) {
    throw new InputError(
      `features of images of ${height} × ${width} need the weights of Inception-v3, which are not part of this package: give ` +
        "--inception-weights with pt_inception-2015-12-05-6726825d.pth (of pytorch-fid) or inception-2015-12-05.pt (of clean-fid)",
    );
  }
  return openInception(engine, { weights: values.inceptionWeights, resize: values.resize });
}

/** What the network sees in two black images: how many features there will be. @throws InputError for a size it cannot see. */
export const glance = (
  network: FeatureNetwork,
  { height, width }: { readonly height: number; readonly width: number },
): Promise<ImageFeatures> => network.features(zeros("uint8", [2, height, width, 3]));
