/** `tinyfusion/models`: families, presets, layers over named weights, and the hooks around blocks. Runs in a browser. */

export { type AutoencoderConfig, autoencoderPreset } from "./models/autoencoder/config.ts";
export type { DiTConfig } from "./models/dit/config.ts";
export { type DiTInputs, dit, ditFamily } from "./models/dit/dit.ts";
export type { Denoiser, Family, ModelConfig } from "./models/family.ts";
export type { LayerMap } from "./models/layer-pairs.ts";
export type { MarConfig } from "./models/mar/config.ts";
export { type MarInputs, mar, marFamily } from "./models/mar/mar.ts";
export { type PixelShape, pixelModel, preset, presets } from "./models/presets.ts";
export { type Model, modelOf } from "./models/registry.ts";
export type { SiTConfig } from "./models/sit.ts";
export { sit, sitFamily } from "./models/sit.ts";
export { initialWeights } from "./nn/init.ts";
export { Params, trainable, type WeightSpec } from "./nn/params.ts";
export { type Block, captureOutputs, type RunBlock, residualBlock, runAll, runOnly } from "./nn/run-block.ts";
