/** What is in a run folder, a checkpoint folder or a decision file. */

import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { type LatentIndex, readLatentIndex } from "../../data/latents/latent-index.ts";
import { openLatents } from "../../data/latents/open-latents.ts";
import type { DecisionFile } from "../../pruning/decision.ts";
import { readLines } from "../../storage/append-lines.ts";
import { readState } from "../../storage/checksums.ts";
import { readSealed } from "../../storage/json.ts";
import { exists, readJson } from "../../storage/read.ts";
import { latestCheckpoint } from "../run-weights.ts";
import { type FileFacts, type InspectOptions, inspectFile } from "./inspect-file.ts";

export interface DecisionFacts {
  readonly kind: "decision";
  readonly path: string;
  readonly method: string;
  readonly depth: number;
  readonly kept: readonly number[];
  readonly groups: string | null;
  /** How many blocks stay of each stack, where there were no groups. */
  readonly budget: readonly number[] | null;
  /** How much each block matters [depth], where the method scores blocks. */
  readonly scores: readonly number[] | null;
  readonly calibration: { readonly examples: number; readonly seed: number } | null;
  /** Spent on choosing. */
  readonly seconds: number | null;
  /** Probability of each group's most likely option, from the averaged gates. */
  readonly confidence: readonly number[] | null;
  /** What the gates themselves would keep, without averaging. */
  readonly rawKept: readonly number[] | null;
  /** Steps after which the decision changed. */
  readonly flips: readonly number[] | null;
  readonly steps: number | null;
}

export interface RunFacts {
  readonly kind: "run";
  readonly path: string;
  readonly command: string;
  readonly steps: number | null;
  /** Step of the latest checkpoint; null if there is none. */
  readonly step: number | null;
  /** Images that this run has seen until then. */
  readonly images: number | null;
  /** The last line of the log. */
  readonly lastLine: Readonly<Record<string, unknown>> | null;
  readonly decision: DecisionFacts | null;
  /** The averaged weights of the latest checkpoint, or the pruned model. */
  readonly file: FileFacts | null;
}

/** @throws InputError for JSON that is not a decision. */
export function inspectDecision(path: string): DecisionFacts {
  const found = readSealed(path, "repeat the command that made it") as Partial<DecisionFile> | null;
  const { method, depth, kept, groups, budget, scores, calibration, seconds } = found ?? {};
  const { averaged, raw, flips, steps } = found ?? {};
  if (typeof method !== "string" || !Number.isSafeInteger(depth) || !isNumbers(kept)) {
    throw new InputError(`${path}: expected a decision with method, depth and kept blocks`);
  }
  const lists = { confidence: averaged?.confidence, "raw kept": raw?.kept, flips, budget, scores };
  for (const [name, list] of Object.entries(lists)) {
    if (list !== undefined && !isNumbers(list)) throw new InputError(`${path}: expected numbers in ${name}`);
  }
  return {
    kind: "decision",
    path,
    method,
    depth: depth!,
    kept,
    groups: groups ?? null,
    budget: budget ?? null,
    scores: scores ?? null,
    calibration: calibration ? { examples: calibration.examples, seed: calibration.seed } : null,
    seconds: seconds ?? null,
    confidence: averaged?.confidence ?? null,
    rawKept: raw?.kept ?? null,
    flips: flips ?? null,
    steps: steps ?? null,
  };
}

const isNumbers = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((item) => typeof item === "number");

/** @throws InputError for a folder without a readable `config.json`, or a damaged checkpoint. */
export async function inspectRun(path: string, options: InspectOptions = {}): Promise<RunFacts> {
  const config = readJson(join(path, "config.json")) as { command?: unknown; steps?: unknown } | null;
  const checkpoint = latestCheckpoint(path);
  const state = checkpoint ? readState(checkpoint).state : undefined;
  const metrics = join(path, "metrics.jsonl");
  const lines = exists(metrics) ? (readLines(metrics) as Record<string, unknown>[]) : [];
  const decision = join(path, "decision.json");
  const model = [join(path, "pruned.safetensors"), ...(checkpoint ? [join(checkpoint, "ema.safetensors")] : [])];
  const file = model.find(exists);
  return {
    kind: "run",
    path,
    command: typeof config?.command === "string" ? config.command : "unknown",
    steps: numberOf(config?.steps),
    step: numberOf(state?.step),
    images: numberOf(state?.images),
    lastLine: lines.at(-1) ?? null,
    decision: exists(decision) ? inspectDecision(decision) : null,
    file: file ? await inspectFile(file, options) : null,
  };
}

const numberOf = (value: unknown): number | null => (typeof value === "number" ? value : null);

export interface LatentFacts extends LatentIndex {
  readonly path: string;
  readonly bytes: number;
  /** Whether the checksums of all shards were compared. */
  readonly verified: boolean;
}

/** @throws InputError for latents that are not complete, damaged, or with a shard that is not what the index says. */
export async function inspectLatents(path: string, check: boolean): Promise<LatentFacts> {
  const index = readLatentIndex(path);
  const set = await openLatents(path, { verify: check });
  await set.release();
  return { ...index, path, bytes: index.shards.reduce((sum, { bytes }) => sum + bytes, 0), verified: check };
}
