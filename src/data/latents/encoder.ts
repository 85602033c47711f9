/** What makes latents of images: an autoencoder, seen from the data that it encodes. */

import { createHash } from "node:crypto";
import { InputError } from "../../array/input-error.ts";
import type { NDArray } from "../../array/ndarray.ts";
import type { Engine } from "../../engine/engine.ts";
import { latentStride } from "../../models/autoencoder/config.ts";
import { Autoencoder, loadAutoencoder } from "../autoencoder/autoencoder.ts";

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

/** The autoencoder of a file or folder as an encoder. @throws InputError if it cannot be read, or is not for images in colour. */
export async function openEncoder(path: string, engine: Engine): Promise<LatentEncoder> {
  const { config, weights } = await loadAutoencoder(path);
  if (config.inChannels !== 3) {
    throw new InputError(
      `\`vae\` ${path}: expected an autoencoder of images with 3 channels, as encode makes all of them, found ${config.inChannels}; ` +
        "give another (grey images can be trained on without one: tinyfusion train --data)",
    );
  }
  const autoencoder = new Autoencoder(engine, { config, weights });
  return {
    channels: config.latentChannels,
    factor: latentStride(config),
    scale: config.scalingFactor,
    shift: config.shiftFactor,
    sha256: weightsSha256(weights),
    encode: (images) => autoencoder.encode(images),
    release: () => autoencoder.release(),
  };
}

/** SHA-256 of weights by name, the same from whichever format they were read. */
function weightsSha256(weights: ReadonlyMap<string, NDArray>): string {
  const hash = createHash("sha256");
  for (const name of [...weights.keys()].sort()) {
    const { shape, data } = weights.get(name)!;
    hash.update(`${name} [${shape}]\n`).update(data);
  }
  return hash.digest("hex");
}
