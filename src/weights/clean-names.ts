/** Names of weights without what training tools put around them: wrappers' names anywhere, and a prefix before a whole model. */

import { InputError } from "../array/input-error.ts";
import { sizeOf } from "../array/ndarray.ts";
import { namesAverage } from "../formats/torch/choose-weights.ts";
import type { StoredTensor } from "../formats/weight-file.ts";

type Tensors = ReadonlyMap<string, StoredTensor>;

/** Modules that only hold another: DataParallel and AveragedModel, torch.compile, FSDP, activation checkpointing, Fabric. */
const wrappers: ReadonlySet<string> = new Set([
  "module",
  "_orig_mod",
  "_fsdp_wrapped_module",
  "_fpw_module",
  "_checkpoint_wrapped_module",
  "_forward_module",
]);

/** Weights under cleaned names. */
export interface CleanedWeights {
  readonly tensors: Tensors;
  /** Whether a prefix says that these are a moving average, or that they are not; undefined where no prefix says it. */
  readonly weights?: "raw" | "ema";
  /** What was removed from names and what was left out, in one line; nothing where the file was as it is now. */
  readonly notes: readonly string[];
}

export interface CleanOptions {
  /** What the caller needs from the file; by default whatever is there, a diffusion model first. */
  readonly part?: Part | undefined;
  /** Which weights, where prefixes tell a moving average from the others: `model`, `ema`, or a prefix. */
  readonly wanted?: string | undefined;
}

/**
 * Removes wrappers key by key, then the prefix of the model that is wanted, with all that lies outside of it.
 * @throws InputError for two tensors that get one name, or for several models of which none was asked for.
 */
export function cleanedWeights(found: Tensors, where: string, { part, wanted }: CleanOptions = {}): CleanedWeights {
  const { tensors, removed } = withoutWrappers(found, where);
  const names = [...tensors.keys()];
  const parts = part === undefined ? (Object.keys(partOutlines) as Part[]) : [part];
  const kind = parts.find((one) => rootsOf(names, one).length > 0);
  const texts = Array.from(removed, ([wrapper, count]) => `"${wrapper}." (${count})`);
  if (kind === undefined) return { tensors, notes: notesOf(where, texts, []) };
  const roots = rootsOf(names, kind);
  const root = chosenRoot(roots, wanted, where);
  const { inside, outside } = below(tensors, root, roots, kind);
  if (root !== "") texts.push(`"${root}" (${inside.size})`);
  return {
    tensors: inside,
    ...weightsOf(root, roots),
    notes: notesOf(where, texts, leftOut(outside, roots)),
  };
}

function withoutWrappers(found: Tensors, where: string): { tensors: Tensors; removed: Map<string, number> } {
  const tensors = new Map<string, StoredTensor>();
  const originals = new Map<string, string>();
  const removed = new Map<string, number>();
  for (const [name, tensor] of found) {
    const components = name.split(".");
    const kept = components.filter((component, i) => i === components.length - 1 || !wrappers.has(component));
    const clean = kept.join(".");
    const other = originals.get(clean);
    if (other !== undefined) {
      throw new InputError(
        `${where}: ${other} and ${name} are both ${clean} without the names of wrappers; save one of the two alone`,
      );
    }
    for (const wrapper of new Set(components.slice(0, -1))) {
      if (wrappers.has(wrapper)) removed.set(wrapper, (removed.get(wrapper) ?? 0) + 1);
    }
    originals.set(clean, name);
    tensors.set(clean, clean === name ? tensor : { ...tensor, name: clean });
  }
  return { tensors, removed };
}

/** @throws InputError where several models are left to choose from. */
function chosenRoot(roots: readonly string[], wanted: string | undefined, where: string): string {
  const [only] = roots;
  if (roots.length === 1) return only!;
  const named = roots.find((root) => root === `${wanted}.`);
  if (named !== undefined) return named;
  const averaged = roots.filter(isAveragedName);
  const others = roots.filter((root) => !isAveragedName(root));
  const own = others.filter((root) => !isOfAverage(root)); // a module of averages has a copy of what it follows
  const raw = own.length > 0 ? own : others;
  const preferred = wanted === "model" || (wanted !== "ema" && averaged.length === 0) ? raw : averaged;
  if (preferred.length === 1) return preferred[0]!;
  const list = roots.map((root) => (root === "" ? "one without a prefix" : `"${root}"`)).join(", ");
  const example = roots.find((root) => root !== "")!.slice(0, -1);
  throw new InputError(
    `${where} holds several models, by the prefixes of their names: ${list}; choose one, as with \`weights\` ${example}`,
  );
}

/** The tensors of one root under their own names, and the names of the others. */
function below(
  tensors: Tensors,
  root: string,
  roots: readonly string[],
  kind: Part,
): { inside: Tensors; outside: string[] } {
  const deeper = roots.filter((other) => other !== root && other.startsWith(root));
  const inside = new Map<string, StoredTensor>();
  const outside: string[] = [];
  for (const [name, tensor] of tensors) {
    const isBeside = !name.startsWith(root) || deeper.some((other) => name.startsWith(other));
    const own = name.slice(root.length);
    if (isBeside || (kind === "model" && isCounter(own, tensor))) outside.push(name);
    else inside.set(own, root === "" ? tensor : { ...tensor, name: own });
  }
  return { inside, outside };
}

/** A number that a tool counts or decays with, such as `n_averaged`, `num_updates` or `step`: no model has weights like it. */
function isCounter(name: string, { shape, dtype }: StoredTensor): boolean {
  return sizeOf(shape) === 1 && (shape.length === 0 || !/float/.test(dtype) || !name.includes("."));
}

/** What the prefixes say of the weights; nothing where there are none, or where the file is one model. */
function weightsOf(root: string, roots: readonly string[]): Pick<CleanedWeights, "weights"> {
  if (isAveragedName(root)) return { weights: "ema" };
  return roots.length > 1 ? { weights: "raw" } : {};
}

/** Names outside as other roots, parts and single tensors: `"online_model." (44)`, `step`. */
function leftOut(outside: readonly string[], roots: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const name of outside) {
    const dot = name.indexOf(".");
    const root = roots.find((one) => one !== "" && name.startsWith(one));
    const group = root ?? (dot < 0 ? name : name.slice(0, dot + 1));
    counts.set(group, (counts.get(group) ?? 0) + 1);
  }
  return Array.from(counts, ([group, count]) => (group.endsWith(".") ? `"${group}" (${count})` : group));
}

const mostListed = 6;

function notesOf(where: string, removed: readonly string[], left: readonly string[]): string[] {
  const listed = (items: readonly string[]) =>
    items.length > mostListed
      ? `${items.slice(0, mostListed).join(", ")} and ${items.length - mostListed} more`
      : items.join(", ");
  const parts = [
    ...(removed.length > 0 ? [`removed from names of weights: ${listed(removed)}`] : []),
    ...(left.length > 0 ? [`left out: ${listed(left)}`] : []),
  ];
  return parts.length > 0 ? [`${where}: ${parts.join("; ")}`] : [];
}

/** Names that every model of a kind has, whatever its size. */
const outlines = {
  transformer: ["x_embedder.proj.weight", "t_embedder.mlp.0.weight", "final_layer.linear.weight"],
  diffusersTransformer: ["pos_embed.proj.weight", "proj_out_1.weight", "proj_out_2.weight"],
  masked: ["z_proj.weight", "class_emb.weight", "decoder_embed.weight"],
  autoencoder: ["encoder.conv_in.weight", "decoder.conv_in.weight"],
  inception: ["Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch1x1.conv.weight"],
  nvidiaInception: ["layers.conv.weight", "output.weight"],
} as const;

/** What a caller may need from a file, each with the outlines that it can have. */
export const partOutlines = {
  model: [outlines.transformer, outlines.diffusersTransformer, outlines.masked],
  autoencoder: [outlines.autoencoder],
  inception: [outlines.inception, outlines.nvidiaInception],
} as const satisfies Record<string, readonly (readonly string[])[]>;

export type Part = keyof typeof partOutlines;

/**
 * The prefixes of whole parts of a kind, in file order; "" for one without a prefix.
 * Latent diffusion's `first_stage_model.` stays a part of the names: the reader of autoencoders counts what is beside it.
 */
export function rootsOf(names: readonly string[], part: Part): string[] {
  const all = new Set(names);
  const roots = partOutlines[part].flatMap(([first, ...others]) =>
    names.flatMap((name) => {
      const root = name.endsWith(first!) ? name.slice(0, name.length - first!.length) : undefined;
      if (root === undefined || (root !== "" && !root.endsWith("."))) return [];
      return others.every((other) => all.has(root + other)) ? [root] : [];
    }),
  );
  return [...new Set(roots.map((root) => (part === "autoencoder" ? root.replace(/first_stage_model\.$/, "") : root)))];
}

/** Whether some part of a prefix belongs to a moving average: that itself, or the weights that it follows. */
export const isOfAverage = (prefix: string): boolean => namesAverage(prefix) || /(^|[._])target([._]|$)/i.test(prefix);

/** Whether a prefix means a moving average of weights; `ema.online_model.` are the weights that one follows. */
export const isAveragedName = (prefix: string): boolean =>
  isOfAverage(prefix) && !/(^|[._])(online|source|raw)([._]|$)/i.test(prefix);
