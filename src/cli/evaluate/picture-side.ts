/** How large the pictures of a model are, known before anything is drawn or decoded. */
import { InputError } from "../../array/input-error.ts";
import { latentStride } from "../../models/autoencoder/config.ts";
import { storedAutoencoder } from "../../weights/autoencoder-file.ts";
import type { ModelFile } from "../../weights/model-file.ts";
import { openWeights } from "../../weights/open-weights.ts";
import { isPicture } from "../sample-grid.ts";

/** Pixels along a side. @throws InputError for latents without an autoencoder, or one that cannot be read. */
export async function sideOfPictures(
  command: string,
  { model, path }: Pick<ModelFile, "model" | "path">,
  vae: string | undefined,
): Promise<number> {
  const { inChannels, inputSize } = model.config;
  if (vae !== undefined) return inputSize * latentStride(storedAutoencoder(await openWeights(vae)).config);
  if (isPicture(inChannels)) return inputSize;
  throw new InputError(
    `${command}: expected --vae, as ${path} draws ${inChannels}-channel latents and an evaluation looks at pictures; ` +
      "give the autoencoder it was trained with, such as --vae hf:stabilityai/sd-vae-ft-ema",
  );
}
