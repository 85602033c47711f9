/** Exporting the tiny models of the conformance table in tests. */
import { mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { type ExportRequest, exportModel } from "../../src/export/export-model.ts";
import { type Row, rows } from "../conformance/models.ts";

export const engine = cpuEngine({ threads: 1 });

/** Those of the command `export`, but for guidance: most programs want it inside. */
const exportDefaults = {
  sampling: {},
  batch: undefined,
  guidance: true,
  dtype: "float32",
  precision: "float32",
  provider: "webgpu",
  external: false,
  versions: {},
} as const satisfies Partial<ExportRequest>;

/** A folder for all exports of a test file. */
export const exportFolder = (): string => mkdtempSync(join(tmpdir(), "export-"));

export const rowNamed = (name: string): Row => rows.find((row) => row.name.startsWith(name))!;

/** Exports a row's model; small changes to the request are the tests. */
export function exported(row: Row, out: string, change: Partial<ExportRequest> = {}) {
  const { model, process, weights: tensors } = row;
  return exportModel({
    ...{ ...exportDefaults, engine, process, out },
    file: { model, tensors, weights: "ema", prunings: [], images: 7, sha256: "0".repeat(64) },
    ...change,
  });
}

/** Everything in a folder, hidden leftovers too. */
export const namesIn = (folder: string): string[] => readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
