/** `tinyfusion inspect`: what is in a model file, a run folder or a decision, as a table or as JSON. */

import { InputError } from "../array/input-error.ts";
import { processText } from "../diffusion/process.ts";
import type { Pruning } from "../weights/model-file.ts";
import { command } from "./command.ts";
import { type FileFacts, inspectFile, type ModelInFile, type ParameterFacts } from "./inspect-file.ts";
import { type DecisionFacts, inspectDecision, inspectRun, isRun, type RunFacts, weightsIn } from "./inspect-run.ts";
import type { OptionTable } from "./option.ts";
import { bytesText, grouped, tableLines } from "./table.ts";

const options = {
  json: { kind: "flag", help: "print JSON" },
  tensors: { kind: "flag", help: "list every tensor" },
} as const satisfies OptionTable;

type Facts = FileFacts | DecisionFacts | RunFacts;
type Row = readonly [name: string, value: string];

export const inspect = command({
  name: "inspect",
  summary: "Show what is in a model file (any safetensors), a run folder or a decision.json.",
  argument: "<file>",
  options,
  examples: ["tinyfusion inspect runs/mask/pruned.safetensors", "tinyfusion inspect runs/mask/decision.json --json"],
  async run({ json, tensors }, { print }, path) {
    const facts = await factsOf(path!);
    const file = fileOf(facts);
    if (json) print(JSON.stringify(tensors ? facts : withoutTensors(facts), null, 2));
    else {
      for (const line of tableLines(rowsOf(facts))) print(line);
      if (tensors && file) for (const line of tensorLines(file)) print(line);
    }
    if (file?.problem) throw new InputError(file.problem);
    return 0;
  },
});

function factsOf(path: string): Promise<Facts> | Facts {
  if (isRun(path)) return inspectRun(path);
  return path.endsWith(".json") ? inspectDecision(path) : inspectFile(weightsIn(path));
}

const fileOf = (facts: Facts): FileFacts | null =>
  facts.kind === "run" ? facts.file : facts.kind === "decision" ? null : facts;

function withoutTensors(facts: Facts): unknown {
  if (facts.kind === "decision") return facts;
  if (facts.kind === "run") return { ...facts, file: facts.file && withoutTensors(facts.file) };
  return { ...facts, tensors: facts.tensors.length };
}

function rowsOf(facts: Facts): Row[] {
  if (facts.kind === "decision") return decisionRows(facts);
  if (facts.kind === "run") return runRows(facts);
  return fileRows(facts);
}

function runRows({ path, command: name, step, steps, images, lastLine, decision, file }: RunFacts): Row[] {
  const line = Object.entries(lastLine ?? {}).map(([key, value]) => `${key} ${value}`);
  return [
    ["run", `${path} (${name})`],
    ["step", step === null ? "no checkpoint yet" : `${grouped(step)}${steps === null ? "" : ` of ${grouped(steps)}`}`],
    ...(images === null ? [] : [["images in this run", grouped(images)] as const]),
    ...(line.length > 0 ? [["last log line", line.join("  ")] as const] : []),
    ...(decision ? decisionRows(decision) : []),
    ...(file ? fileRows(file) : []),
  ];
}

function decisionRows({ path, method, depth, kept, groups, confidence, rawKept, flips, steps }: DecisionFacts): Row[] {
  const last = flips?.at(-1);
  const changes = flips?.length === 1 ? "once" : `${flips?.length} times, last`;
  const times = last === undefined ? "never changed" : `changed ${changes} after step ${last}`;
  const settled = steps === null ? times : `${times}${last === undefined ? ` in ${steps} steps` : ` of ${steps}`}`;
  return [
    ["decision", `${path} (${method})`],
    ["kept", `${kept.length} of ${depth}: ${kept.join(" ")}`],
    ...(groups === null ? [] : [["groups", groups] as const]),
    ...(confidence ? [["confidence", confidence.map((p) => p.toFixed(2)).join(" ")] as const] : []),
    ...(rawKept
      ? [["kept by raw gates", String(rawKept) === String(kept) ? "the same" : rawKept.join(" ")] as const]
      : []),
    ...(flips ? [["changes", settled] as const] : []),
  ];
}

function fileRows(facts: FileFacts): Row[] {
  const { kind, path, bytes, sha256, dtypes, parameters, model, fits, metadata, tensors } = facts;
  const types = Object.entries(dtypes).map(([dtype, count]) => `${dtype} (${count} tensors)`);
  return [
    ["file", path],
    ["kind", kind],
    ...(model ? modelRows(model) : []),
    ...(fits.length > 0 ? [["could be", `${fits.join(", ")} (by names and shapes)`] as const] : []),
    ["parameters", parametersText(parameters)],
    ["tensors", `${tensors.length}: ${types.join(", ") || "none"}`],
    ["size", `${bytesText(bytes)} (${grouped(bytes)} bytes)`],
    ["SHA-256", sha256],
    ...Object.entries(metadata).map(([name, value]) => [`metadata ${name}`, metadataText(value)] as const),
  ];
}

function modelRows(model: ModelInFile): Row[] {
  const { config, stacks, preset, weights, images, process, prunings, keptOfRoot } = model;
  const hasRoot = prunings.length > 1 || (prunings.length === 1 && stacks.length > 1);
  const settings = Object.entries(config).map(([name, value]) => `${name} ${value}`);
  return [
    ["model", preset ?? "none of the presets"],
    ["configuration", settings.join("  ")],
    ["depth", `${stacks.join(" + ")} blocks`],
    ["weights", weights === "ema" ? "moving average (EMA)" : "raw, as trained"],
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

function pruningRows({ parent, parentDepth, kept, groups, layerMap }: Pruning, i: number): Row[] {
  const pairs = layerMap.map((pair) => pair.join("→")).join(" ");
  return [
    [`pruning ${i + 1}`, `kept ${kept.length} of ${parentDepth}${groups === undefined ? "" : `, groups ${groups}`}`],
    ["  kept blocks", kept.join(" ")],
    ["  parent", parent],
    ["  layer map", pairs || "none"],
  ];
}

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
  return text.length > 400 ? `${text.slice(0, 400)}… (--json shows all)` : text;
}

function tensorLines({ tensors }: FileFacts): string[] {
  const rows = tensors.map(({ name, dtype, shape }) => [
    name,
    dtype,
    `[${shape.join(", ")}]`,
    grouped(parameterNumber(shape)),
  ]);
  return ["", ...tableLines([["tensor", "type", "shape", "numbers"], ...rows], [3])];
}

const parameterNumber = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);
