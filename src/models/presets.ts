/** Named configurations. */
import { InputError } from "../array/input-error.ts";
import { type DiTConfig, ditConfigSchema } from "./dit/config.ts";
import { type Model, modelOf } from "./registry.ts";

const ditSizes = {
  S: { depth: 12, hiddenSize: 384, numHeads: 6 },
  B: { depth: 12, hiddenSize: 768, numHeads: 12 },
  L: { depth: 24, hiddenSize: 1024, numHeads: 16 },
  XL: { depth: 28, hiddenSize: 1152, numHeads: 16 },
} as const;

/** DiT-S/B/L/XL with patch size 2, 4 or 8 on the latents of 256² or 512² images (Peebles and Xie 2023, table 1). */
function ditPreset(size: keyof typeof ditSizes, patchSize: number, inputSize: number): DiTConfig {
  return ditConfigSchema.parse({ ...ditSizes[size], patchSize, inputSize, inChannels: 4, numClasses: 1000 });
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

/** All presets by name: `DiT-XL/2`, `DiT-XL/2-512`, …, `DiT-Digits`. */
export const presets: ReadonlyMap<string, DiTConfig> = new Map([
  ["DiT-Digits", digits] as const,
  ...(["S", "B", "L", "XL"] as const).flatMap((size) =>
    [2, 4, 8].flatMap((patch) => [
      [`DiT-${size}/${patch}`, ditPreset(size, patch, 32)] as const,
      [`DiT-${size}/${patch}-512`, ditPreset(size, patch, 64)] as const,
    ]),
  ),
]);

/** The model of a preset. @throws InputError listing the names there are. */
export function preset(name: string): Model {
  const config = presets.get(name);
  if (!config) throw new InputError(`unknown model ${name}; expected one of ${[...presets.keys()].join(", ")}`);
  return modelOf(config);
}
