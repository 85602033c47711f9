/** Which autoencoder turns the latents of a model into pictures. */
import { InputError } from "../array/input-error.ts";
import { Autoencoder, tileLatents } from "../data/autoencoder/autoencoder.ts";
import type { LoadedAutoencoder } from "../data/autoencoder/load.ts";
import type { Engine } from "../engine/engine.ts";
import { type AutoencoderConfig, latentStride } from "../models/autoencoder/config.ts";
import type { ModelConfig } from "../models/family.ts";
import type { ImageDecoder } from "../sampling/generation/generate-set.ts";
import { SettingError, type SettingTable, type Values } from "../tasks/settings.ts";
import { storedAutoencoder } from "../weights/autoencoder-file.ts";
import { type OpenedWeights, openWeights, weightsSha256 } from "../weights/open-weights.ts";
import { readWeights } from "../weights/placed-weights.ts";
import { isPicture } from "./sample-grid.ts";

export const decoderOptions = {
  vae: {
    kind: "weights",
    help: "autoencoder that turns latents into pictures: a weight file, or a vae folder of diffusers",
  },
  tiled: { kind: "flag", help: "decode large latents in tiles: less memory, slightly other pictures" },
} as const satisfies SettingTable;

/**
 * The autoencoder of `--vae`, before any time is spent; `note` hears what else its file holds.
 * @throws InputError for one of other latents than the model's.
 */
export async function loadDecoder(
  path: string,
  channels: number,
  note: (line: string) => void,
): Promise<LoadedAutoencoder & { readonly opened: OpenedWeights }> {
  const opened = await openWeights(path, { part: "autoencoder" });
  const { config, tensors, others } = storedAutoencoder(opened);
  requireLatents(config, channels, path);
  if (!isPicture(config.outChannels)) {
    throw new InputError(
      `--vae ${path}: expected an autoencoder that makes images of 1 or 3 channels, found ${config.outChannels} channels`,
    );
  }
  if (others.length > 0) note(`${path} holds more than the autoencoder, which is left out: ${others.join(", ")}`);
  return { config, weights: await readWeights(tensors), others, opened };
}

/** @throws InputError for an autoencoder of other latents than a model's, which has so many channels. */
export function requireLatents({ latentChannels }: AutoencoderConfig, channels: number, path: string): void {
  if (latentChannels === channels) return;
  throw new InputError(
    `--vae ${path}: expected an autoencoder of the model's ${channels}-channel latents, found ${latentChannels} channels`,
  );
}

/** The autoencoder of `--vae` at work. */
export interface Decoder extends ImageDecoder {
  /** Of its file or files. */
  sha256(): Promise<string>;
  release(): Promise<void>;
}

/** What makes pictures of a model's latents, if `--vae` is given; its sessions stay from the first ones on. @throws as `loadDecoder`. */
export async function openDecoder(
  { vae, tiled }: Values<typeof decoderOptions>,
  { inChannels, inputSize }: Pick<ModelConfig, "inChannels" | "inputSize">,
  engine: Engine,
  note: (line: string) => void,
): Promise<Decoder | undefined> {
  if (vae === undefined) {
    if (tiled)
      throw new SettingError("--tiled says how an autoencoder decodes; give it as --vae, or leave --tiled out");
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
