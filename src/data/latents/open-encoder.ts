/** An autoencoder's weights, read from a file or folder, as the encoder of a data set. */
import { createHash } from "node:crypto";
import { InputError } from "../../array/input-error.ts";
import type { NDArray } from "../../array/ndarray.ts";
import type { Engine } from "../../engine/engine.ts";
import { latentStride } from "../../models/autoencoder/config.ts";
import { Autoencoder } from "../autoencoder/autoencoder.ts";
import { loadAutoencoder } from "../autoencoder/load.ts";
import type { LatentEncoder } from "./encoder.ts";

/** The autoencoder of a file or folder as an encoder. @throws InputError if it cannot be read, or is not for images in colour. */
export async function openEncoder(path: string, engine: Engine): Promise<LatentEncoder> {
  const { config, weights } = await loadAutoencoder(path);
  if (config.inChannels !== 3) {
    throw new InputError(
      `--vae ${path}: expected an autoencoder of images with 3 channels, as encode makes all of them, found ${config.inChannels}; ` +
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
