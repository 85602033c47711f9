/** Named configurations. */
import { InputError } from "../array/input-error.ts";
import { type DiTConfig, ditConfigSchema } from "./dit/config.ts";
import { type MarConfig, marConfigSchema } from "./mar/config.ts";
import { pixelPresets } from "./pixel-presets.ts";
import { type Model, modelOf } from "./registry.ts";
import { type SiTConfig, sitConfigSchema } from "./sit/config.ts";

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

/** MAR-B/L/H on the 16-channel latents of 256² images (Li et al. 2024), with encoder and decoder of equal shape. */
function marPreset(name: keyof typeof marSizes, depth: number = marSizes[name].depth): MarConfig {
  const { size, heads, denoiserDepth, denoiserSize } = marSizes[name];
  return marConfigSchema.parse({
    ...{ family: "mar", inputSize: 16, patchSize: 1, inChannels: 16, numClasses: 1000, bufferSize: 64 },
    ...{ encoderDepth: depth, encoderSize: size, encoderHeads: heads },
    ...{ decoderDepth: depth, decoderSize: size, decoderHeads: heads },
    ...{ denoiserDepth, denoiserSize },
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

/** The same body as a SiT; a variance would be computed and dropped. It starts from the DiT, whose times are counted to 1000. */
const sitDigits: SiTConfig = sitConfigSchema.parse({ ...digits, family: "sit", learnSigma: false, timeScale: 1000 });

/** A MAR as deep and thin: 14 + 14 blocks on 49 tokens of 16 pixels. So thin a model needs no dropout, and learns faster without. */
const marDigits: MarConfig = marConfigSchema.parse({
  ...{ family: "mar", inputSize: 28, patchSize: 4, inChannels: 1, numClasses: 10, bufferSize: 4 },
  ...{ encoderDepth: 14, encoderSize: 64, encoderHeads: 4 },
  ...{ decoderDepth: 14, decoderSize: 64, decoderHeads: 4 },
  ...{ denoiserDepth: 3, denoiserSize: 128, attentionDropout: 0, projectionDropout: 0 },
});

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
  ["SiT-Digits", sitDigits],
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
