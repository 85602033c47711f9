/** What is in weights of any format, a run folder, a decision or latents. */
import { dirname } from "node:path";
import { isLatentFolder } from "../../data/latents/latent-index.ts";
import { readJson } from "../../storage/read.ts";
import { weightsSettings } from "../model-settings.ts";
import { isRun, weightsIn } from "../run-weights.ts";
import { required, type SettingTable } from "../settings.ts";
import { startTask, type TaskSettings } from "../task.ts";
import { type FileFacts, inspectFile } from "./inspect-file.ts";
import {
  type DecisionFacts,
  inspectDecision,
  inspectLatents,
  inspectRun,
  type LatentFacts,
  type RunFacts,
} from "./inspect-run.ts";

export const inspectSettings = {
  file: { kind: "weights", help: "weights, a run, a decision or latents" },
  check: { kind: "flag", help: "count of NaN and infinities; checksums of latents" },
  ...weightsSettings,
} as const satisfies SettingTable;

export type Inspected = FileFacts | DecisionFacts | RunFacts | LatentFacts;

/** Describes a file or folder; no tensor is loaded without `check`. @throws InputError for what is damaged or nothing of ours. */
export async function inspect(settings: TaskSettings<typeof inspectSettings>): Promise<Inspected> {
  const { values } = await startTask(inspectSettings, settings);
  const { check, weights: wanted } = values;
  const path = required("file", values.file);
  if (isLatentFolder(path)) return inspectLatents(path, check);
  if (isRun(path)) return inspectRun(path, { check, wanted });
  if (!path.endsWith(".json")) return inspectFile(weightsIn(path), { check, wanted });
  const { kind, weight_map: shards } = (readJson(path) ?? {}) as { kind?: unknown; weight_map?: unknown };
  if (kind === "latents") return inspectLatents(dirname(path), check);
  return shards === undefined ? inspectDecision(path) : inspectFile(path, { check, wanted });
}
