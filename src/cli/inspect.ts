/** `tinyfusion inspect`: as a table or as JSON. */
import { InputError } from "../array/input-error.ts";
import { type Inspected, inspect, inspectSettings } from "../tasks/inspect/inspect.ts";
import type { FileFacts } from "../tasks/inspect/inspect-file.ts";
import type { DecisionFacts, LatentFacts, RunFacts } from "../tasks/inspect/inspect-run.ts";
import { classesText } from "../tasks/sampling-settings.ts";
import { command, jsonFlag } from "./command.ts";
import { fileRows, type Row, tensorLines } from "./inspect-rows.ts";
import { bytesText, grouped, tableLines } from "./table.ts";

export const inspectCommand = command({
  name: "inspect",
  summary: "Show what is in weights of any format, a folder of diffusers, a run folder, a decision.json or latents.",
  settings: inspectSettings,
  positional: ["file"],
  flags: { ...jsonFlag, tensors: { kind: "flag", help: "list of every tensor" } },
  examples: [
    "tinyfusion inspect runs/mask/pruned.safetensors",
    "tinyfusion inspect DiT-XL-2-256x256.pt",
    "tinyfusion inspect checkpoint-last.pth --weights model --check",
    "tinyfusion inspect runs/mask/decision.json --json",
  ],
  async run(settings, { json, tensors }, { print, note }) {
    const facts = await inspect(settings);
    const file = fileOf(facts);
    for (const line of file?.notes ?? []) note(line);
    const rows = () => tableLines(rowsOf(facts).map((row) => row.map(onOneLine)));
    const lines = json
      ? [JSON.stringify(tensors ? facts : withoutTensors(facts), null, 2)]
      : [...rows(), ...(tensors && file ? tensorLines(file) : [])];
    if (!file?.problem) return lines;
    for (const line of lines) print(line);
    throw new InputError(file.problem);
  },
});

/** Names and texts from a file must not look like lines of ours. */
const onOneLine = (text: string): string => text.replaceAll(/[\n\t]/g, "\ufffd");

function fileOf(facts: Inspected): FileFacts | null {
  if (facts.kind === "run") return facts.file;
  return facts.kind === "decision" || facts.kind === "latents" ? null : facts;
}

function withoutTensors(facts: Inspected): unknown {
  if (facts.kind === "decision" || facts.kind === "latents") return facts;
  if (facts.kind === "run") return { ...facts, file: facts.file && withoutTensors(facts.file) };
  return { ...facts, tensors: facts.tensors.length };
}

function rowsOf(facts: Inspected): Row[] {
  if (facts.kind === "decision") return decisionRows(facts);
  if (facts.kind === "latents") return latentRows(facts);
  if (facts.kind === "run") return runRows(facts);
  return fileRows(facts);
}

function latentRows(facts: LatentFacts): Row[] {
  const {
    classNames,
    path,
    count,
    shape,
    numClasses,
    flipped,
    dtype,
    imageSize,
    scale,
    shift,
    shards,
    bytes,
    vae,
    skipped,
  } = facts;
  return [
    ["latents", path],
    [
      "images",
      `${grouped(count)} of ${numClasses} classes, cropped to ${imageSize} × ${imageSize}${flipped ? ", and mirrored" : ""}`,
    ],
    ...(classNames ? [["classes", classesText(classNames)] as const] : []),
    ["latent", `${shape.join(" × ")} ${dtype}, seen as (latent − ${shift}) · ${scale}`],
    ["shards", `${shards.length}: ${bytesText(bytes)}${facts.verified ? ", all checksums are right" : ""}`],
    ["autoencoder", `${vae.path} (SHA-256 ${vae.sha256})`],
    ["skipped", skipped.length === 0 ? "none" : skipped.map(({ name, reason }) => `${name} (${reason})`).join(", ")],
  ];
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

/** The most and the least important ones. */
function blocksByScore(scores: readonly number[]): string {
  const ranked = scores
    .map((score, block) => ({ score, block }))
    .sort((a, b) => b.score - a.score || a.block - b.block);
  const text = (some: typeof ranked) => some.map(({ score, block }) => `${block} (${score.toPrecision(3)})`).join(" ");
  return ranked.length <= 6 ? text(ranked) : `${text(ranked.slice(0, 3))} … ${text(ranked.slice(-3))}`;
}

function decisionRows(facts: DecisionFacts): Row[] {
  const { path, method, depth, kept, groups, budget, scores, calibration, seconds } = facts;
  const { confidence, rawKept, flips, steps } = facts;
  const last = flips?.at(-1);
  const changes = flips?.length === 1 ? "once" : `${flips?.length} times, last`;
  const times = last === undefined ? "never changed" : `changed ${changes} after step ${last}`;
  const settled = steps === null ? times : `${times}${last === undefined ? ` in ${steps} steps` : ` of ${steps}`}`;
  return [
    ["decision", `${path} (${method})`],
    ["kept", `${kept.length} of ${depth}: ${kept.join(" ")}`],
    ...(groups === null ? [] : [["groups", groups] as const]),
    ...(budget === null ? [] : [["budget", `${budget.join(" + ")} blocks, anywhere`] as const]),
    ...(scores === null ? [] : [["blocks by score", blocksByScore(scores)] as const]),
    ...(calibration === null
      ? []
      : [["measured on", `${grouped(calibration.examples)} examples, seed ${calibration.seed}`] as const]),
    ...(seconds === null ? [] : [["chosen in", `${seconds.toFixed(1)} s`] as const]),
    ...(confidence ? [["confidence", confidence.map((p) => p.toFixed(2)).join(" ")] as const] : []),
    ...(rawKept
      ? [["kept by raw gates", String(rawKept) === String(kept) ? "the same" : rawKept.join(" ")] as const]
      : []),
    ...(flips ? [["changes", settled] as const] : []),
  ];
}
