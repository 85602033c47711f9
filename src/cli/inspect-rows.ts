/** What is in a file of weights, as rows of a table. */
import { sizeOf } from "../array/ndarray.ts";
import { processText } from "../diffusion/process.ts";
import type { FileFacts, ModelInFile, ParameterFacts } from "../tasks/inspect/inspect-file.ts";
import { classesText } from "../tasks/sampling-settings.ts";
import { keptGroupCount, type WidthPruning } from "../weights/model-description.ts";
import type { Pruning } from "../weights/model-file.ts";
import { nonFiniteText } from "../weights/output-files.ts";
import { bytesText, grouped, tableLines } from "./table.ts";

export type Row = readonly [name: string, value: string];

export function fileRows(facts: FileFacts): Row[] {
  const { kind, path, format, bytes, sha256, dtypes, parameters, model, fits, beside, metadata, tensors } = facts;
  const types = Object.entries(dtypes).map(([dtype, count]) => `${dtype} (${count} tensors)`);
  return [
    ["file", path],
    ["kind", kind],
    ...(model ? modelRows(model) : []),
    ...(fits.length > 0 ? [["could be", `${fits.join(", ")} (by names and shapes)`] as const] : []),
    ["format", format],
    ...(facts.stateDicts.length > 0 ? [["state dicts", dictsText(facts)] as const] : []),
    ["parameters", parametersText(parameters)],
    ["tensors", `${tensors.length}: ${types.join(", ") || "none"}`],
    ...Object.entries(facts.unreadable).map(([name, reason]) => [cut(`not read: ${name}`, 200), reason] as const),
    ...(facts.notFinite ? [["values", valuesText(facts.notFinite)] as const] : []),
    ["size", `${bytesText(bytes)} (${grouped(bytes)} bytes)`],
    ["SHA-256", sha256],
    ...Object.entries(beside).map(([name, value]) => [cut(`beside: ${name}`, 200), metadataText(value)] as const),
    ...(facts.placeholders.length > 0 ? [["placeholders", placeholdersText(facts)] as const] : []),
    ...Object.entries(metadata).map(([name, value]) => [cut(`metadata ${name}`, 200), metadataText(value)] as const),
  ];
}

/** `model, ema; shown is the moving average (EMA)` */
function dictsText({ stateDicts, taken }: FileFacts): string {
  return `${stateDicts.join(", ")}; shown are the ${taken === "ema" ? "averaged weights (EMA)" : "weights as trained"}`;
}

const mostPlaceholders = 20;

/** Classes that the file names and that are not known: nothing of them was imported or called. */
function placeholdersText({ placeholders }: FileFacts): string {
  const more = placeholders.length - mostPlaceholders;
  return cut(`${placeholders.slice(0, mostPlaceholders).join(", ")}${more > 0 ? ` and ${more} more` : ""}`, 2000);
}

const valuesText = (notFinite: NonNullable<FileFacts["notFinite"]>): string =>
  nonFiniteText(new Map(Object.entries(notFinite))) ?? "all finite";

function modelRows(model: ModelInFile): Row[] {
  const { config, stacks, preset, weights, images, process, prunings, keptOfRoot, classNames } = model;
  const hasRoot = prunings.length > 1 || (prunings.length === 1 && stacks.length > 1);
  const settings = Object.entries(config).map(([name, value]) => `${name} ${value}`);
  return [
    ["model", preset ?? "none of the presets"],
    ["configuration", settings.join("  ")],
    ["depth", `${stacks.join(" + ")} blocks`],
    ["weights", weights === "ema" ? "moving average (EMA)" : "raw, as trained"],
    ...(classNames ? [["classes", classesText(classNames)] as const] : []),
    ["images seen", grouped(images)],
    ["process", processText(process)],
    ...(prunings.length === 0 ? [["pruned", "never"] as const] : prunings.flatMap(pruningRows)),
    ...(hasRoot ? [["blocks of the root", stackedText(keptOfRoot!, stacks)] as const] : []),
  ];
}

/** Block numbers with a plus between the stacks that they are now in: `0 2 + 4 5`. */
function stackedText(blocks: readonly number[], stacks: readonly number[]): string {
  let start = 0;
  const each = stacks.map((depth) => {
    start += depth;
    return blocks.slice(start - depth, start).join(" ");
  });
  return each.map((numbers) => numbers || "none").join(" + ");
}

function pruningRows({ parent, parentDepth, kept, groups, layerMap, width }: Pruning, i: number): Row[] {
  const pairs = layerMap.map((pair) => pair.join("→")).join(" ");
  return [
    [`pruning ${i + 1}`, `kept ${kept.length} of ${parentDepth}${groups === undefined ? "" : `, groups ${groups}`}`],
    ["  kept blocks", kept.join(" ")],
    ...(width ? [["  width", widthText(width)] as const] : []),
    ["  parent", parent],
    ["  layer map", pairs || "none"],
  ];
}

/** `2 of 4 heads, 128 of 256 MLP channels, chosen by diff-pruning` */
const widthText = ({ criterion, heads, channels }: WidthPruning): string =>
  `${keptGroupCount(heads)} of ${heads.of} heads, ${keptGroupCount(channels)} of ${channels.of} MLP channels, chosen by ${criterion}`;

function parametersText({ total, blocks, outsideBlocks, constant }: ParameterFacts): string {
  if (blocks.length === 0) return grouped(total);
  const outside = `${grouped(outsideBlocks)} outside blocks (${grouped(constant)} of them constant)`;
  return `${grouped(total)}: ${blockSizesText(blocks)}, ${outside}`;
}

/** `14 blocks of 50,000 + 14 blocks of 60,000`: neighbours of one size together. */
function blockSizesText(sizes: readonly number[]): string {
  const runs: { size: number; count: number }[] = [];
  for (const size of sizes) {
    const last = runs.at(-1);
    if (last?.size === size) last.count++;
    else runs.push({ size, count: 1 });
  }
  return runs.map(({ size, count }) => `${count} ${count === 1 ? "block" : "blocks"} of ${grouped(size)}`).join(" + ");
}

function metadataText(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return cut(text, 400);
}

const cut = (text: string, length: number): string =>
  text.length > length ? `${text.slice(0, length)}… (--json shows all)` : text;

/** One line for each tensor; after a check with the numbers of its elements that are not finite. */
export function tensorLines({ tensors, notFinite }: FileFacts): string[] {
  const head = ["tensor", "type", "shape", "numbers", ...(notFinite ? ["NaN", "infinite"] : [])];
  const rows = tensors.map(({ name, dtype, shape }) => {
    const { nan, infinite } = notFinite?.[name] ?? { nan: 0, infinite: 0 };
    const counts = notFinite ? [grouped(nan), grouped(infinite)] : [];
    return [
      cut(name.replaceAll(/[\n\t]/g, "\ufffd"), 200),
      dtype,
      `[${shape.join(", ")}]`,
      grouped(sizeOf(shape)),
      ...counts,
    ];
  });
  return ["", ...tableLines([head, ...rows], [3, 4, 5])];
}
