/** Reading an autoencoder: its weights from a file of any naming, or a `vae` folder of diffusers. */
import type { NDArray } from "../../array/ndarray.ts";
import type { AutoencoderConfig } from "../../models/autoencoder/config.ts";
import { storedAutoencoder } from "../../weights/autoencoder-file.ts";
import { openWeights } from "../../weights/open-weights.ts";
import { readWeights } from "../../weights/placed-weights.ts";

/** An autoencoder in memory. */
export interface LoadedAutoencoder {
  readonly config: AutoencoderConfig;
  /** By diffusers' present names. */
  readonly weights: ReadonlyMap<string, NDArray<"float32">>;
  /** What else the file holds, as parts with numbers of weights: `loss (24)`. */
  readonly others: readonly string[];
}

/**
 * The autoencoder of a weights file of any format, or of diffusers' `vae` folder with its `config.json`; `given` goes
 * before both.
 * @throws InputError for damaged files, a configuration that is not known, or weights that do not fit it.
 */
export async function loadAutoencoder(path: string, given?: AutoencoderConfig): Promise<LoadedAutoencoder> {
  const { config, tensors, others } = storedAutoencoder(await openWeights(path, { part: "autoencoder" }), given);
  return { config, weights: await readWeights(tensors), others };
}
