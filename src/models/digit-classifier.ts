/** A small convolutional classifier of digits; its penultimate activations are the features of FD-digits. */
import { maxPool2d, relu, reshape } from "../graph/build.ts";
import { dimAt, fixedDim, type Tensor } from "../graph/tensor.ts";
import { convolution, linear } from "../nn/layers.ts";
import type { Initializer, Params } from "../nn/params.ts";

/** Widths of the classifier; images are square and of a side that divides by 4. */
export interface DigitClassifierConfig {
  readonly imageSize: number;
  readonly imageChannels: number;
  /** Channels of the two convolutions. */
  readonly channels: readonly [number, number];
  /** Penultimate activations. */
  readonly featureSize: number;
  readonly numClasses: number;
}

/** The classifier that is shipped. */
export const digitClassifierConfig: DigitClassifierConfig = {
  imageSize: 28,
  imageChannels: 1,
  channels: [16, 32],
  featureSize: 64,
  numClasses: 10,
};

/** What the classifier says of N images. */
export interface Classified {
  /** Activations before the last layer, ≥ 0: [N, featureSize]. */
  readonly features: Tensor;
  /** [N, numClasses] */
  readonly logits: Tensor;
}

/** Uniform in ±√(6 / fanIn), which keeps the variance of activations through ReLUs (He et al. 2015, eq. 10). */
const he = (fanIn: number): Initializer => ({ kind: "uniform", bound: Math.sqrt(6 / fanIn) });

/** Features and logits of x [N, C, S, S] in [−1, 1]: two convolutions with pooling, then two linear layers. */
export function digitClassifier(
  p: Params,
  x: Tensor,
  config: DigitClassifierConfig = digitClassifierConfig,
): Classified {
  const { channels, featureSize, numClasses } = config;
  let h = x;
  for (const [i, width] of channels.entries()) h = maxPool2d(relu(conv3x3(p.at(`conv${i + 1}`), h, width)), 2);
  const size = fixedDim(h, 1) * fixedDim(h, 2) * fixedDim(h, 3);
  const flat = reshape(h, [dimAt(h, 0), size]); // [N, C·S/4·S/4]
  const features = relu(linear(p.at("fc1"), flat, featureSize, he(size)));
  return { features, logits: linear(p.at("fc2"), features, numClasses, he(featureSize)) };
}

function conv3x3(p: Params, x: Tensor, width: number): Tensor {
  return convolution(p, x, width, { kernel: 3, padding: 1, init: he(9 * fixedDim(x, 1)) });
}
