/** The seam between images and metrics: a network that looks at images. N images, D pooled, S spatial features, K classes. */
import type { NDArray } from "../../array/ndarray.ts";

/** What a network sees in images: all that a metric is computed from. */
export interface ImageFeatures {
  /** [N, D]: Fréchet distance, precision and recall, kernel distance. */
  readonly pooled: NDArray<"float32">;
  /** [N, S]: the spatial Fréchet distance, of networks that have such features. */
  readonly spatial?: NDArray<"float32">;
  /** [N, K], rows that sum to 1: the Inception Score and the class that an image is taken for. */
  readonly probabilities?: NDArray<"float32">;
}

/** Features of one image depend on that image only, not on how many are looked at together. */
export interface FeatureNetwork {
  /** Stored beside all that is computed from its features: those of two names are never compared. */
  readonly name: string;
  /** All that changes its numbers: weights, resizing. */
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  /** @throws InputError for images [N, H, W, 3] that it cannot look at: of another size, or coloured ones. */
  features(images: NDArray<"uint8">): Promise<ImageFeatures>;
  release(): Promise<void>;
}
