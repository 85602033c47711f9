/** Which autoencoder turns the latents of a model into pictures. */
import { InputError } from "../array/input-error.ts";
import type { NDArray } from "../array/ndarray.ts";
import { Autoencoder } from "../data/autoencoder/autoencoder.ts";
import { type LoadedAutoencoder, loadAutoencoder } from "../data/autoencoder/load.ts";
import type { Engine } from "../onnx/session.ts";
import type { OptionTable, Values } from "./option.ts";

export const decoderOptions = {
  vae: {
    kind: "weights",
    help: "autoencoder that turns latents into pictures: a weight file, or a vae folder of diffusers",
  },
  tiled: { kind: "flag", help: "decode large latents in tiles: less memory, slightly other pictures" },
} as const satisfies OptionTable;

/**
 * The autoencoder of `--vae`, before any time is spent; `note` hears what else its file holds.
 * @throws InputError for one of other latents than the model's.
 */
export async function loadDecoder(
  path: string,
  channels: number,
  note: (line: string) => void,
): Promise<LoadedAutoencoder> {
  const loaded = await loadAutoencoder(path);
  const { latentChannels } = loaded.config;
  if (latentChannels !== channels) {
    throw new InputError(
      `--vae ${path}: expected an autoencoder of the model's ${channels}-channel latents, found ${latentChannels} channels`,
    );
  }
  if (loaded.others.length > 0)
    note(`${path} holds more than the autoencoder, which is left out: ${loaded.others.join(", ")}`);
  return loaded;
}

/** Latents [N, Z, h, w] to images [N, C, H, W]. */
export type Decode = (latents: NDArray<"float32">) => Promise<NDArray<"float32">>;

/** What makes pictures of latents, if `--vae` is given; it holds no session between calls. @throws as `loadDecoder`. */
export async function openDecoder(
  { vae, tiled }: Values<typeof decoderOptions>,
  channels: number,
  engine: Engine,
  note: (line: string) => void,
): Promise<Decode | undefined> {
  if (vae === undefined) return undefined;
  const loaded = await loadDecoder(vae, channels, note);
  return async (latents) => {
    const autoencoder = new Autoencoder(engine, loaded);
    try {
      return await autoencoder.decode(latents, { tiled });
    } finally {
      await autoencoder.release();
    }
  };
}
