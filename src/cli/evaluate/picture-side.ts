/** How large the pictures of a model are, known before anything is drawn or decoded. */
import { InputError } from "../../array/input-error.ts";
import type { ImageDecoder } from "../../sampling/generation/generate-set.ts";
import type { ModelFile } from "../../weights/model-file.ts";
import { isPicture } from "../sample-grid.ts";

/** Pixels along a side. @throws InputError for latents without an autoencoder. */
export function sideOfPictures(
  command: string,
  { model, path }: Pick<ModelFile, "model" | "path">,
  decoder: Pick<ImageDecoder, "side"> | undefined,
): number {
  const { inChannels, inputSize } = model.config;
  if (decoder) return decoder.side;
  if (isPicture(inChannels)) return inputSize;
  throw new InputError(
    `${command}: expected --vae, as ${path} draws ${inChannels}-channel latents and an evaluation looks at pictures; ` +
      "give the autoencoder it was trained with, such as --vae hf:stabilityai/sd-vae-ft-ema",
  );
}
