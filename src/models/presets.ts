/** Named configurations. */
import { InputError } from "../array/input-error.ts";
import { type DiTConfig, ditConfigSchema } from "./dit/config.ts";
import { type MarConfig, marConfigSchema } from "./mar/config.ts";
import { type Model, modelOf } from "./registry.ts";
import { type SiTConfig, sitConfigSchema } from "./sit.ts";

const sizes = {
  S: { depth: 12, hiddenSize: 384, numHeads: 6 },
  B: { depth: 12, hiddenSize: 768, numHeads: 12 },
  L: { depth: 24, hiddenSize: 1024, numHeads: 16 },
  XL: { depth: 28, hiddenSize: 1152, numHeads: 16 },
} as const;

/** DiT-S/B/L/XL with patch size 2, 4 or 8 on the latents of 256² or 512² images (Peebles and Xie 2023, table 1). */
function ditPreset(size: keyof typeof sizes, patchSize: number, inputSize: number): DiTConfig {
  return ditConfigSchema.parse({ ...sizes[size], patchSize, inputSize, inChannels: 4, numClasses: 1000 });
}

/** SiT-S/B/L/XL with patch size 2, 4 or 8 on the latents of 256² images (Ma et al. 2024). */
function sitPreset(size: keyof typeof sizes, patchSize: number): SiTConfig {
  const shape = { ...sizes[size], patchSize, inputSize: 32, inChannels: 4, numClasses: 1000 };
  return sitConfigSchema.parse({ family: "sit", ...shape });
}

const marSizes = {
  B: { depth: 12, size: 768, heads: 12, denoiserDepth: 6, denoiserSize: 1024 },
  L: { depth: 16, size: 1024, heads: 16, denoiserDepth: 8, denoiserSize: 1280 },
  H: { depth: 20, size: 1280, heads: 16, denoiserDepth: 12, denoiserSize: 1536 },
} as const;

/** An encoder and a decoder of one shape. */
const marStacks = (depth: number, size: number, heads: number) => ({
  encoderDepth: depth,
  encoderSize: size,
  encoderHeads: heads,
  decoderDepth: depth,
  decoderSize: size,
  decoderHeads: heads,
});

/** MAR-B/L/H on the 16-channel latents of 256² images (Li et al. 2024). */
function marPreset(name: keyof typeof marSizes, depth: number = marSizes[name].depth): MarConfig {
  const { size, heads, denoiserDepth, denoiserSize } = marSizes[name];
  return marConfigSchema.parse({
    family: "mar",
    inputSize: 16,
    patchSize: 1,
    inChannels: 16,
    numClasses: 1000,
    bufferSize: 64,
    ...marStacks(depth, size, heads),
    denoiserDepth,
    denoiserSize,
  });
}

/** A 28-layer pixel-space DiT for 28 × 28 digits: deep and thin, so that 1:2, 2:4 and 7:14 mean what they mean for XL. */
const digits: DiTConfig = ditConfigSchema.parse({
  inputSize: 28,
  patchSize: 4,
  inChannels: 1,
  hiddenSize: 64,
  depth: 28,
  numHeads: 4,
  numClasses: 10,
});

/** The same body as a SiT, without the variance, which would be computed and dropped; its times count to 1000 as the DiT's. */
const asFlow = (body: DiTConfig): SiTConfig =>
  sitConfigSchema.parse({ ...body, family: "sit", learnSigma: false, timeScale: 1000 });

/** A MAR as deep and thin: 14 + 14 blocks on 49 tokens of 16 pixels. So thin a model needs no dropout, and learns faster without. */
const marDigits: MarConfig = marConfigSchema.parse({
  family: "mar",
  inputSize: 28,
  patchSize: 4,
  inChannels: 1,
  numClasses: 10,
  bufferSize: 4,
  ...marStacks(14, 64, 4),
  denoiserDepth: 3,
  denoiserSize: 128,
  attentionDropout: 0,
  projectionDropout: 0,
});

const ditPixels: DiTConfig = ditConfigSchema.parse({
  inputSize: 32,
  patchSize: 4,
  inChannels: 3,
  numClasses: 10,
  hiddenSize: 96,
  depth: 8,
  numHeads: 4,
});

/** Small transformers on pixels; as they are they make 32 × 32 colour images of 10 classes. */
export const pixelPresets: ReadonlyMap<string, DiTConfig | SiTConfig> = new Map<string, DiTConfig | SiTConfig>([
  ["DiT-Pixels", ditPixels],
  ["SiT-Pixels", asFlow(ditPixels)],
]);

const everySize = ["S", "B", "L", "XL"] as const;
const everyPatch = [2, 4, 8] as const;

type PresetConfig = DiTConfig | SiTConfig | MarConfig;

/** All presets by name: `DiT-XL/2`, `DiT-XL/2-512`, …, `DiT-Digits`, `SiT-XL/2`, …, `TinySiT-D14`, `SiT-Digits`, `MAR-L`, …, `MAR-Digits`, `DiT-Pixels`, `SiT-Pixels`. */
export const presets: ReadonlyMap<string, PresetConfig> = new Map<string, PresetConfig>([
  ["DiT-Digits", digits],
  ...everySize.flatMap((size) =>
    everyPatch.flatMap((patch) => [
      [`DiT-${size}/${patch}`, ditPreset(size, patch, 32)] as const,
      [`DiT-${size}/${patch}-512`, ditPreset(size, patch, 64)] as const,
    ]),
  ),
  // The shallow models of the TinyFusion paper: DiT-XL/2 with 19, 14 and 7 of its 28 blocks.
  ...[19, 14, 7].map((depth) => [`TinyDiT-D${depth}`, { ...ditPreset("XL", 2, 32), depth }] as const),
  ["SiT-Digits", asFlow(digits)],
  ...everySize.flatMap((size) => everyPatch.map((patch) => [`SiT-${size}/${patch}`, sitPreset(size, patch)] as const)),
  // Likewise half of SiT-XL/2.
  ["TinySiT-D14", { ...sitPreset("XL", 2), depth: 14 }],
  ["MAR-Digits", marDigits],
  ...(["B", "L", "H"] as const).map((name) => [`MAR-${name}`, marPreset(name)] as const),
  // And half of each stack of MAR-L.
  ["TinyMAR-D16", marPreset("L", 8)],
  ...pixelPresets,
]);

/** The model of a preset. @throws InputError listing the names there are. */
export function preset(name: string): Model {
  const config = presets.get(name);
  if (!config) throw new InputError(`unknown model ${name}; expected one of ${[...presets.keys()].join(", ")}`);
  return modelOf(config);
}

/** Patches of a side that keep the number of tokens what an ordinary computer trains in minutes. */
const patches = [4, 8, 16, 32, 64] as const;
const MOST_TOKENS = 256;

/** What images say of a model that makes such ones. */
export interface PixelShape {
  readonly size: number;
  readonly channels: number;
  readonly numClasses: number;
}

/**
 * A model of this body for other images; larger ones get larger patches.
 * @throws InputError for a size that no patch divides.
 */
export function pixelModel({ family, config }: Model, { size, channels, numClasses }: PixelShape): Model {
  const patchSize = patches.find((side) => size % side === 0 && (size / side) ** 2 <= MOST_TOKENS);
  if (patchSize === undefined) {
    throw new InputError(
      `images of ${size} × ${size} do not fit patches of ${patches.join(", ")} pixels: take a \`size\` such as 32 or 64, or ` +
        "write the model you want as `modelConfig`",
    );
  }
  return { family, config: family.parse({ ...config, inputSize: size, inChannels: channels, numClasses, patchSize }) };
}
