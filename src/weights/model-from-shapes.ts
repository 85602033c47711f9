/** The configuration that shapes of weights show, for what they do show: everything but the family, heads and rates of dropout. */

import { InputError } from "../array/input-error.ts";
import type { DiTConfig } from "../models/dit/config.ts";
import type { MarConfig } from "../models/mar/config.ts";
import { presets } from "../models/presets.ts";
import { type Model, modelOf } from "../models/registry.ts";
import type { FoundWeights } from "./fitting-models.ts";
import { fitsWeights, weightSpecs } from "./weight-specs.ts";

/** A model that has weights of these names and shapes, beside one that it is like. */
export interface RelatedModel {
  /** What the model that it is like is called. */
  readonly like: string;
  readonly model: Model;
  /** The fields in which the two differ, with both values. */
  readonly differences: readonly string[];
}

/**
 * The model of the same family as `like` whose sizes are those of the weights. What has no shape is as in `like`: the
 * number of heads, and what a table of labels with one row more stands for.
 * Undefined if no model of that family has all these weights.
 */
export function modelFromShapes(found: FoundWeights, like: Model): Model | undefined {
  const shown = like.family.name === "mar" ? shownByMar(found, like) : shownByTransformer(found, like);
  if (!shown) return undefined;
  try {
    const model = modelOf({ ...withoutWidths(like.config), ...shown });
    return fitsWeights(weightSpecs(model), found) ? model : undefined;
  } catch (error) {
    if (error instanceof InputError) return undefined; // sizes that do not divide
    throw error;
  }
}

/**
 * Models that the weights could be, each beside the preset that differs from it in the fewest fields, one of a family;
 * none where a preset fits, or the weights are of no family.
 */
export function relatedModels(found: FoundWeights): RelatedModel[] {
  const nearest = new Map<string, RelatedModel>();
  for (const [like, base] of likelyPresets(found)) {
    const model = modelFromShapes(found, base);
    if (!model) continue;
    const differences = differencesBetween(base, model);
    const other = nearest.get(base.family.name);
    if (!other || differences.length < other.differences.length) {
      nearest.set(base.family.name, { like, model, differences });
    }
  }
  return [...nearest.values()];
}

/** The fields in which two models of a family differ: `learnSigma false instead of true`. */
export function differencesBetween(expected: Model, found: Model): string[] {
  const [theirs, own] = [expected.config, found.config] as unknown as Readonly<Record<string, unknown>>[];
  const names = new Set([...Object.keys(theirs!), ...Object.keys(own!)]);
  return Array.from(names).flatMap((name) => {
    if (theirs![name] === own![name] || (name === "depth" && "encoderDepth" in own!)) return [];
    if (theirs![name] === undefined) return [`${name} ${own![name]}`];
    return [`${name} ${own![name] ?? "left out"} instead of ${theirs![name]}`];
  });
}

/** How models differ from those that have a name, and what to write as a configuration. */
export function relatedText(related: readonly RelatedModel[]): string {
  const like = related.map(({ like, differences }) => `${like} but for ${differences.join(", ")}`);
  const json = related.map(({ model }) => JSON.stringify(model.config));
  const isScaled = related.some(({ model }) => "timeScale" in model.config);
  const shapeless = isScaled
    ? "the number of heads and timeScale have no shape: correct them if they are others"
    : "the number of heads has no shape: correct it if it is another";
  return `its weights are like ${like.join(", or ")}; write ${json.join(" or ")} into a file and give that with \`modelConfig\` (${shapeless})`;
}

/**
 * Presets of the weights' own width, where heads of the same number are likely, and of each family the one whose width is
 * nearest if there are none: few, since models have to be traced to be compared.
 */
function likelyPresets(found: FoundWeights): (readonly [string, Model])[] {
  const families = new Map<string, { like: string; base: Model; distance: number }[]>();
  for (const [like, config] of presets) {
    const base = modelOf(config);
    const width = widthLike(found, base);
    if (width === undefined) continue;
    const relatives = families.get(base.family.name) ?? [];
    families.set(base.family.name, [...relatives, { like, base, distance: Math.abs(width - widthOf(base)) }]);
  }
  return [...families.values()].flatMap((relatives) => {
    const least = Math.min(...relatives.map(({ distance }) => distance));
    const nearest = relatives.filter(({ distance }) => distance === least);
    return (least === 0 ? nearest : nearest.slice(0, 1)).map(({ like, base }) => [like, base] as const);
  });
}

function widthOf({ config }: Model): number {
  const { hiddenSize, encoderSize } = config as Partial<DiTConfig & MarConfig>;
  return hiddenSize ?? encoderSize!;
}

/** The width of the weights in the place where models of this family show it; undefined if they have no such place. */
const widthLike = (found: FoundWeights, { family }: Model): number | undefined =>
  found.get(family.name === "mar" ? "z_proj.weight" : "x_embedder.proj.weight")?.shape[0];

/** A model that was pruned in width is compared with what it was. */
function withoutWidths(config: object): object {
  const { keptHeads: _, mlpSize: __, nullClass: ___, ...rest } = config as Partial<DiTConfig>;
  return rest;
}

function shownByTransformer(found: FoundWeights, { config, family }: Model): Partial<DiTConfig> | undefined {
  const like = config as DiTConfig;
  const shape = (name: string) => found.get(name)?.shape;
  const [patches, places] = [shape("x_embedder.proj.weight"), shape("pos_embed")];
  const [labels, last] = [shape("y_embedder.embedding_table.weight"), shape("final_layer.linear.weight")];
  if (patches?.length !== 4 || places?.length !== 3 || labels?.length !== 2 || last?.length !== 2) return undefined;
  const [hiddenSize, inChannels, patchSize] = patches as [number, number, number];
  const depth = blocksUnder(found, family.blockScopes({ ...like, depth: mostBlocks }));
  const numHeads = headsFor(hiddenSize, like);
  const [attention, mlp] = [shape("blocks.0.attn.qkv.weight")?.[0], shape("blocks.0.mlp.fc1.weight")?.[0]];
  const keptHeads = attention === undefined ? numHeads : attention / (3 * (hiddenSize / numHeads));
  return {
    hiddenSize,
    inChannels,
    patchSize,
    depth,
    numHeads,
    inputSize: Math.sqrt(places[1]!) * patchSize,
    learnSigma: last[0] === 2 * inChannels * patchSize ** 2,
    ...labelsIn(labels[0]!, like.numClasses),
    ...(keptHeads !== numHeads && { keptHeads }),
    ...(mlp !== undefined && mlp !== Math.floor(hiddenSize * like.mlpRatio) && { mlpSize: mlp }),
  };
}

function shownByMar(found: FoundWeights, { config, family }: Model): Partial<MarConfig> | undefined {
  const like = config as unknown as MarConfig;
  const shape = (name: string) => found.get(name)?.shape;
  const [tokens, labels, decoder] = [shape("z_proj.weight"), shape("class_emb.weight"), shape("decoder_embed.weight")];
  const [all, own] = [shape("encoder_pos_embed_learned")?.[1], shape("diffusion_pos_embed_learned")?.[1]];
  const denoiser = shape("diffloss.net.input_proj.weight");
  if (!tokens || !labels || !decoder || !denoiser || all === undefined || own === undefined) return undefined;
  const scopes = family.blockScopes({ ...config, encoderDepth: mostBlocks, decoderDepth: mostBlocks } as never);
  const patchSize = patchSizeOf(tokens[1]!, like);
  const inputSize = Math.sqrt(own) * patchSize;
  const encoderDepth = blocksUnder(found, scopes.slice(0, mostBlocks));
  const decoderDepth = blocksUnder(found, scopes.slice(mostBlocks));
  const mlp = shape("encoder_blocks.0.mlp.fc1.weight")?.[0];
  return {
    encoderSize: tokens[0]!,
    decoderSize: decoder[0]!,
    inputSize,
    numClasses: labels[0]!,
    patchSize,
    inChannels: tokens[1]! / patchSize ** 2,
    bufferSize: all - own,
    encoderDepth,
    decoderDepth,
    depth: encoderDepth + decoderDepth,
    ...(mlp !== undefined && { mlpRatio: mlp / tokens[0]! }),
    ...(like.nullClass === false && { nullClass: false }),
    denoiserSize: denoiser[0]!,
    denoiserDepth: blocksUnder(
      found,
      Array.from({ length: mostBlocks }, (_, i) => `diffloss.net.res_blocks.${i}`),
    ),
  };
}

/** A token shows the product of channels and patch only: the patch is as in the other model, or else the channels are. */
function patchSizeOf(token: number, { patchSize, inChannels }: MarConfig): number {
  return token % patchSize ** 2 === 0 ? patchSize : Math.sqrt(token / inChannels);
}

const mostBlocks = 1024;

/** How many of these scopes have weights, from the first on. */
function blocksUnder(found: FoundWeights, scopes: readonly string[]): number {
  const used = new Set(Array.from(found.keys(), (name) => /^(.*?\.\d+)\./.exec(name)?.[1]));
  const end = scopes.findIndex((scope) => !used.has(scope));
  return end < 0 ? scopes.length : end;
}

/** As many heads as the other has at its width, or heads of the same size. */
function headsFor(hiddenSize: number, like: DiTConfig): number {
  if (hiddenSize === like.hiddenSize) return like.numHeads;
  const heads = hiddenSize / (like.hiddenSize / like.numHeads);
  return Number.isInteger(heads) ? heads : 1;
}

/** One row for each class, and one for "no label" unless the classes are known to be as many as the rows. */
const labelsIn = (rows: number, classes: number): Pick<DiTConfig, "numClasses" | "nullClass"> =>
  rows === classes ? { numClasses: rows, nullClass: false } : { numClasses: rows - 1 };
