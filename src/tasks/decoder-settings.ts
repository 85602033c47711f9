/** The autoencoder that turns the latents of a model into images. */
import { InputError } from "../array/input-error.ts";
import { Autoencoder, type LoadedAutoencoder, tileLatents } from "../data/autoencoder/autoencoder.ts";
import type { Engine } from "../engine/engine.ts";
import { type AutoencoderConfig, latentStride } from "../models/autoencoder/config.ts";
import type { ModelConfig } from "../models/family.ts";
import type { ImageDecoder } from "../sampling/generation/generate-set.ts";
import { storedAutoencoder } from "../weights/autoencoder-file.ts";
import type { ModelFile } from "../weights/model-file.ts";
import { type OpenedWeights, openWeights, weightsSha256 } from "../weights/open-weights.ts";
import { readWeights } from "../weights/read-weights.ts";
import { hasImageChannels } from "./grid-png.ts";
import { quoted, SettingError, type SettingTable, type Values } from "./settings.ts";

export const decoderSettings = {
  vae: { kind: "weights", help: "autoencoder for latents: a weight file or diffusers folder" },
  tiled: { kind: "flag", help: "decode in tiles: less memory, slightly different images" },
} as const satisfies SettingTable;

/**
 * Reads an autoencoder for latents of `channels` channels; `note` receives what else its file holds.
 * @throws InputError for one of other latents, or of images that are neither gray nor RGB.
 */
export async function loadDecoder(
  path: string,
  channels: number,
  note: (line: string) => void,
): Promise<LoadedAutoencoder & { readonly opened: OpenedWeights }> {
  const opened = await openWeights(path, { part: "autoencoder" });
  const { config, tensors, others } = storedAutoencoder(opened);
  requireLatents(config, channels, path);
  if (!hasImageChannels(config.outChannels)) {
    throw new InputError(
      `${quoted("vae")} ${path}: expected an autoencoder of images of 1 or 3 channels, found ${config.outChannels} channels`,
    );
  }
  if (others.length > 0) note(`${path} holds more than the autoencoder, which is left out: ${others.join(", ")}`);
  return { config, weights: await readWeights(tensors), others, opened };
}

/** @throws InputError for an autoencoder of other latents than a model of `channels` channels has. */
export function requireLatents({ latentChannels }: AutoencoderConfig, channels: number, path: string): void {
  if (latentChannels === channels) return;
  throw new InputError(
    `${quoted("vae")} ${path}: expected an autoencoder of the model's ${channels}-channel latents, found ${latentChannels} channels`,
  );
}

/** An opened autoencoder; its sessions are built by the first call of `decode`. */
export interface Decoder extends ImageDecoder {
  /** Of its file or files. */
  sha256(): Promise<string>;
  release(): Promise<void>;
}

/** The decoder of a model's latents; undefined without `vae`. @throws InputError as {@link loadDecoder}. */
export async function openDecoder(
  { vae, tiled }: Values<typeof decoderSettings>,
  { inChannels, inputSize }: Pick<ModelConfig, "inChannels" | "inputSize">,
  engine: Engine,
  note: (line: string) => void,
): Promise<Decoder | undefined> {
  if (vae === undefined) {
    if (tiled) throw new SettingError("`tiled` needs an autoencoder; set `vae`, or leave `tiled` out");
    return undefined;
  }
  const { opened, ...loaded } = await loadDecoder(vae, inChannels, note);
  const side = inputSize * latentStride(loaded.config);
  if (tiled && side > loaded.config.sampleSize) tileLatents(loaded.config); // refused before anything is sampled
  const autoencoder = new Autoencoder(engine, loaded);
  return {
    side,
    decode: (latents) => autoencoder.decode(latents, { tiled }),
    sha256: () => weightsSha256(opened),
    release: () => autoencoder.release(),
  };
}

/** Pixels along a side of the images of a model. @throws InputError for latents without an autoencoder. */
export function imageSide(
  task: string,
  { model, path }: Pick<ModelFile, "model" | "path">,
  decoder: Pick<ImageDecoder, "side"> | undefined,
): number {
  const { inChannels, inputSize } = model.config;
  if (decoder) return decoder.side;
  if (hasImageChannels(inChannels)) return inputSize;
  throw new InputError(
    `${task}: expected \`vae\`, as ${path} samples ${inChannels}-channel latents and scores need images; ` +
      "set the autoencoder it was trained with, such as hf:stabilityai/sd-vae-ft-ema",
  );
}
