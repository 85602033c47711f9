/** What makes latents of images: an autoencoder, seen from the data that it encodes. */
import type { NDArray } from "../../array/ndarray.ts";

/** The normal distributions of latents, one for each element, not scaled: both [N, C, S/factor, S/factor]. */
export interface EncodedImages {
  readonly mean: NDArray<"float32">;
  readonly std: NDArray<"float32">;
}

export interface LatentEncoder {
  /** Channels of a latent. */
  readonly channels: number;
  /** Pixels along the side of one element of a latent. */
  readonly factor: number;
  /** Models see (latent − shift) · scale. */
  readonly scale: number;
  readonly shift: number;
  /** Identifies the weights. */
  readonly sha256: string;
  /** Of images [N, 3, S, S] in [−1, 1]. Rows do not depend on each other. */
  encode(images: NDArray<"float32">): Promise<EncodedImages>;
  release(): Promise<void>;
}
