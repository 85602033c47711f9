/** The way from latents to images as a graph. N batch, Z latent channels, S side of the latents. */
import { float32, sizeOf } from "../array/ndarray.ts";
import { normals } from "../array/random.ts";
import { add, input, maximum, minimum, mul } from "../graph/build.ts";
import { symbolicDim } from "../graph/dim.ts";
import { decoder } from "../models/autoencoder/autoencoder.ts";
import type { AutoencoderConfig } from "../models/autoencoder/config.ts";
import { Params } from "../nn/params.ts";
import { type Part, rowsOf } from "./part.ts";

/** latents as models see them [N, Z, S, S] → images in [−1, 1]: scale and shift are undone inside. */
export function decoderPart(config: AutoencoderConfig, side: number, batch: number | undefined): Part {
  const shape = [config.latentChannels, side, side];
  const latents = input("latents", [batch ?? symbolicDim("batch"), ...shape]);
  const z = add(mul(latents, 1 / config.scalingFactor), config.shiftFactor);
  const image = minimum(maximum(decoder(new Params(), config, z), -1), 1);
  return {
    name: "vae-decoder",
    graph: { outputs: { image } },
    about: { latents: "latents on the model's scale", image: "in [-1, 1]" },
    example(rows) {
      const count = rowsOf(batch, rows);
      const values = normals({ seed: 0, purpose: "export check", step: 0, index: 0 }, sizeOf([count, ...shape]));
      return { latents: float32(values, [count, ...shape]) };
    },
  };
}
