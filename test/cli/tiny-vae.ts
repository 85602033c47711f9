/** A small autoencoder as a folder of diffusers: gray pictures of twice the side of 4-channel latents. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeSafetensors } from "../../src/formats/safetensors.ts";
import { autoencoderSpecs } from "../../src/models/autoencoder/autoencoder.ts";
import { diffusersAutoencoderConfig } from "../../src/models/autoencoder/config.ts";
import { awakeWeights } from "../training/tiny.ts";

const config = {
  ...{ in_channels: 1, out_channels: 1, latent_channels: 4, layers_per_block: 1, norm_num_groups: 4, act_fn: "silu" },
  ...{ block_out_channels: [8, 12], sample_size: 28, scaling_factor: 0.5, _class_name: "AutoencoderKL" },
  down_block_types: ["DownEncoderBlock2D", "DownEncoderBlock2D"],
  up_block_types: ["UpDecoderBlock2D", "UpDecoderBlock2D"],
};

/** Writes it; returns the folder. */
export function plantVae(folder: string, change: Partial<typeof config> = {}): string {
  const changed = { ...config, ...change };
  const weights = awakeWeights(autoencoderSpecs(diffusersAutoencoderConfig(changed)));
  mkdirSync(folder);
  writeFileSync(join(folder, "diffusion_pytorch_model.safetensors"), Buffer.concat([...encodeSafetensors(weights)]));
  writeFileSync(join(folder, "config.json"), JSON.stringify(changed));
  return folder;
}
