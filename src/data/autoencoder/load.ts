/** Reading an autoencoder: its weights from a file of any naming, or a `vae` folder of diffusers. */
import { InputError } from "../../array/input-error.ts";
import type { NDArray } from "../../array/ndarray.ts";
import { asFloat32 } from "../../formats/float16.ts";
import type { WeightFile } from "../../formats/weight-file.ts";
import { autoencoderSpecs } from "../../models/autoencoder/autoencoder.ts";
import {
  type AutoencoderConfig,
  autoencoderPresets,
  diffusersAutoencoderConfig,
} from "../../models/autoencoder/config.ts";
import { autoencoderNames } from "../../models/autoencoder/names.ts";
import { fittingAutoencoder } from "../../weights/autoencoder-file.ts";
import { checkWeights } from "../../weights/model-file.ts";
import { openWeights } from "../../weights/open-weights.ts";

/** An autoencoder in memory. */
export interface LoadedAutoencoder {
  readonly config: AutoencoderConfig;
  /** By diffusers' present names. */
  readonly weights: ReadonlyMap<string, NDArray<"float32">>;
  /** What else the file holds, as parts with numbers of weights: `loss (24)`. */
  readonly others: readonly string[];
}

/**
 * Reads the weights of an autoencoder one at a time, from whichever names the file uses. Without `given`, the
 * preset is taken that all weights fit.
 * @throws InputError naming every missing, unexpected and misshaped weight together, or if no preset fits.
 */
export async function readAutoencoder(
  tensors: WeightFile["tensors"],
  given: AutoencoderConfig | undefined,
  where: string,
): Promise<LoadedAutoencoder> {
  const config = given ?? autoencoderPresets.get(fittingAutoencoder(tensors) ?? "");
  if (!config) {
    const known = [...autoencoderPresets.keys()].join(" or ");
    throw new InputError(`${where}: its weights are not those of ${known}; give the config.json that belongs to it`);
  }
  const specs = autoencoderSpecs(config);
  const { weights: found, others } = autoencoderNames(tensors.values(), specs, config);
  const types = Array.from(found, ([ours, { name, shape }]) => {
    return [ours, { shape, dtype: tensors.get(name)!.dtype }] as const;
  });
  checkWeights(specs, new Map(types), where);
  const weights = new Map<string, NDArray<"float32">>();
  for (const [ours, { name, shape }] of found) {
    weights.set(ours, asFloat32(await tensors.get(name)!.read()).reshape(shape));
  }
  return { config, weights, others };
}

/**
 * The autoencoder of a weights file of any format, or of diffusers' `vae` folder with its `config.json`; `given` goes
 * before both.
 * @throws InputError for damaged files, a configuration that is not known, or weights that do not fit it.
 */
export async function loadAutoencoder(path: string, given?: AutoencoderConfig): Promise<LoadedAutoencoder> {
  const { tensors, diffusers } = await openWeights(path);
  const described = diffusers && diffusersAutoencoderConfig(diffusers.config.json, diffusers.config.where);
  return readAutoencoder(tensors, given ?? described, path);
}
