/** The MAR of the fixtures: its configuration from the sidecar, its weights, and what its schedules are. */
import type { NDArray } from "../../src/array/ndarray.ts";
import type { TokenDenoiser } from "../../src/diffusion/masking/token-loss.ts";
import { namedSchedule, respace } from "../../src/diffusion/schedule.ts";
import { type MarConfig, marConfigSchema } from "../../src/models/mar/config.ts";
import { tokenDenoiser } from "../../src/models/mar/token-denoiser.ts";
import { Params } from "../../src/nn/params.ts";
import { atLeastOne, loadFixture } from "./fixture.ts";

/** One run of generation. */
export interface MarRun {
  readonly cfg: number;
  readonly cfg_schedule: "linear" | "constant";
  readonly temperature: number;
  readonly num_iter: number;
  readonly cfg_iter: readonly number[];
  readonly n_pred_tokens: readonly number[];
}

interface Settings {
  readonly img_size: number;
  readonly vae_stride: number;
  readonly patch_size: number;
  readonly vae_embed_dim: number;
  readonly encoder_embed_dim: number;
  readonly encoder_depth: number;
  readonly encoder_num_heads: number;
  readonly decoder_embed_dim: number;
  readonly decoder_depth: number;
  readonly decoder_num_heads: number;
  readonly mlp_ratio: number;
  readonly buffer_size: number;
  readonly diffloss_d: number;
  readonly diffloss_w: number;
  readonly class_num: number;
  readonly num_sampling_steps: string;
  readonly diffusion_batch_mul: number;
  readonly seq_len: number;
  readonly token_embed_dim: number;
  readonly sample_runs: Readonly<Record<string, MarRun>>;
}

interface Expected {
  readonly mask_rate: number;
  readonly num_masked: number;
  readonly loss: number;
  readonly loss_drop: number;
  readonly mask_rate_params: { readonly min: number; readonly loc: number; readonly scale: number };
  readonly mask_len_schedule: Readonly<Record<string, readonly number[]>>;
}

export const { settings, expected, tensor, names } = loadFixture<Settings, Expected>("09_mar");

export const config: MarConfig = marConfigSchema.parse({
  family: "mar",
  inputSize: settings.img_size / settings.vae_stride,
  patchSize: settings.patch_size,
  inChannels: settings.vae_embed_dim,
  encoderDepth: settings.encoder_depth,
  encoderSize: settings.encoder_embed_dim,
  encoderHeads: settings.encoder_num_heads,
  decoderDepth: settings.decoder_depth,
  decoderSize: settings.decoder_embed_dim,
  decoderHeads: settings.decoder_num_heads,
  mlpRatio: settings.mlp_ratio,
  bufferSize: settings.buffer_size,
  denoiserDepth: settings.diffloss_d,
  denoiserSize: settings.diffloss_w,
  numClasses: settings.class_num,
});

const stored = atLeastOne(
  names.filter((name) => name.startsWith("mar/")),
  "weights",
);
/** The weights under their own names. */
export const weights: Record<string, NDArray> = Object.fromEntries(
  stored.map((name) => [name.slice("mar/".length), tensor(name)]),
);

export const p = new Params();
export const denoiser: TokenDenoiser = (inputs) => tokenDenoiser(p, config, inputs);

export const trainSchedule = namedSchedule("squaredcos_cap_v2", tensor("diff/cosine_betas").size);
export const sampleSchedule = respace(trainSchedule, settings.num_sampling_steps);

/** Stored orders [N, L], one array for each image. */
export function storedOrders(name: string): Int32Array[] {
  const orders = tensor(name);
  return Array.from({ length: orders.shape[0]! }, (_, n) => orders.rows(n, n + 1).data as Int32Array);
}
