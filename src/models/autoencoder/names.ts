/** How files call the weights of an autoencoder: diffusers' names, new and old, and those of latent diffusion itself. */
import type { AutoencoderConfig } from "./config.ts";

/** A weight as a file lists it. */
export interface NamedShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/** What a file holds of an autoencoder. */
export interface FoundAutoencoder {
  /**
   * Ours (diffusers' present names) → the file's name, and the shape to read it under: the file's, but a matrix where the
   * file has a 1 × 1 convolution instead. What nobody knows keeps its own name, and so does a second copy.
   */
  readonly weights: ReadonlyMap<string, NamedShape>;
  /** Parts of the file that are not the autoencoder, with the number of their weights: `loss (24)`. */
  readonly others: readonly string[];
}

/** The autoencoder in files that hold a whole latent diffusion model. */
const INSIDE = "first_stage_model.";

/** What training leaves beside the autoencoder's weights: the loss with its discriminator, moving averages. */
const BESIDE = /^(loss|discriminator|model_ema)(?=\.)/;

/**
 * Finds the weights `expected` (of `autoencoderSpecs`) in a file, whichever names it uses; also below
 * `first_stage_model.`, where everything else belongs to other models. Nothing is checked: unknown names, second
 * copies and wrong shapes are left for `checkWeights` to list.
 */
export function autoencoderNames(
  found: Iterable<NamedShape>,
  expected: readonly NamedShape[],
  config: AutoencoderConfig,
): FoundAutoencoder {
  const all = [...found];
  const prefix = all.some(({ name }) => name.startsWith(INSIDE)) ? INSIDE : "";
  const oursOf = new Map(
    expected.flatMap(({ name }) => namesOf(name, config).map((theirs) => [theirs, name] as const)),
  );
  const shapes = new Map(expected.map(({ name, shape }) => [name, shape]));
  const weights = new Map<string, NamedShape>();
  const others = new Map<string, number>();
  for (const { name, shape } of all) {
    const inner = name.startsWith(prefix) ? name.slice(prefix.length) : undefined;
    const part = inner === undefined ? name.split(".", 1)[0] : BESIDE.exec(inner)?.[1];
    if (part !== undefined) {
      others.set(part, (others.get(part) ?? 0) + 1);
      continue;
    }
    const ours = oursOf.get(inner!);
    const place = ours === undefined ? name : weights.has(ours) ? `${name} (a second ${ours})` : ours;
    weights.set(place, { name, shape: asMatrix(shape, shapes.get(place)) });
  }
  return { weights, others: Array.from(others, ([part, count]) => `${part} (${count})`) };
}

/** Attention is a 1 × 1 convolution [O, I, 1, 1] in some files and a matrix [O, I] in others. */
function asMatrix(shape: readonly number[], expected: readonly number[] | undefined): readonly number[] {
  const isMatrix = expected?.length === 2 && shape.length === 4 && shape[2] === 1 && shape[3] === 1;
  return isMatrix ? shape.slice(0, 2) : shape;
}

/** All names that files use for a weight of ours. */
export function namesOf(ours: string, { blockOutChannels }: AutoencoderConfig): string[] {
  return [...new Set([ours, oldDiffusersName(ours), latentDiffusionName(ours, blockOutChannels.length)])];
}

/** The names before diffusers 0.15. */
function oldDiffusersName(ours: string): string {
  return ours.replace(/\.(to_q|to_k|to_v|to_out\.0)\./, (_, part: string) => `.${oldAttention[part]}.`);
}

const oldAttention: Readonly<Record<string, string>> = {
  to_q: "query",
  to_k: "key",
  to_v: "value",
  "to_out.0": "proj_attn",
};

/** The names of latent diffusion, where both halves count levels from the full size down. */
function latentDiffusionName(ours: string, levels: number): string {
  return ours
    .replace(/down_blocks\.(\d+)/, "down.$1")
    .replace(/up_blocks\.(\d+)/, (_, i: string) => `up.${levels - 1 - Number(i)}`)
    .replace(/mid_block\.(resnets|attentions)\.(\d+)/, (_, kind: string, i: string) => {
      return `mid.${kind === "resnets" ? "block" : "attn"}_${Number(i) + 1}`;
    })
    .replace(".resnets.", ".block.")
    .replace(".attentions.", ".attn.")
    .replace("downsamplers.0", "downsample")
    .replace("upsamplers.0", "upsample")
    .replace("conv_shortcut", "nin_shortcut")
    .replace("conv_norm_out", "norm_out")
    .replace(".group_norm.", ".norm.")
    .replace(/\.to_([qkv])\./, ".$1.")
    .replace(".to_out.0.", ".proj_out.");
}
