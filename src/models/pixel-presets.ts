/** Small transformers on the pixels of colour images, which take size, channels and classes from the images they learn. */
import { InputError } from "../array/input-error.ts";
import { type DiTConfig, ditConfigSchema } from "./dit/config.ts";
import type { Model } from "./registry.ts";
import { type SiTConfig, sitConfigSchema } from "./sit/config.ts";

const dit: DiTConfig = ditConfigSchema.parse({
  ...{ inputSize: 32, patchSize: 4, inChannels: 3, numClasses: 10 },
  ...{ hiddenSize: 96, depth: 8, numHeads: 4 },
});

/** The same body as a flow; a variance would be computed and dropped. */
const sit: SiTConfig = sitConfigSchema.parse({ ...dit, family: "sit", learnSigma: false, timeScale: 1000 });

/** By name; as they are they make 32 × 32 colour images of 10 classes. */
export const pixelPresets: ReadonlyMap<string, DiTConfig | SiTConfig> = new Map<string, DiTConfig | SiTConfig>([
  ["DiT-Pixels", dit],
  ["SiT-Pixels", sit],
]);

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
      `images of ${size} × ${size} do not fit patches of ${patches.join(", ")} pixels: take a --size such as 32 or 64, or ` +
        "write the model you want as --model-config",
    );
  }
  return { family, config: family.parse({ ...config, inputSize: size, inChannels: channels, numClasses, patchSize }) };
}
