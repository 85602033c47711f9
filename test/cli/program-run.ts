/** The command line in this process: what it prints and how it ends; and small files to call it with. */
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { integers } from "../../src/array/random.ts";
import { runProgram } from "../../src/cli/program.ts";
import { modelOf } from "../../src/models/registry.ts";
import { type ModelFacts, saveModel, weightSpecs } from "../../src/weights/model-file.ts";
import { awakeWeights } from "../training/tiny.ts";

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command line as `main.ts` would. */
export async function run(
  argv: readonly string[],
  signal = new AbortController().signal,
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const written = { stdout: "", stderr: "" };
  const stream = (name: keyof typeof written) => ({
    write(text: string) {
      written[name] += text;
    },
  });
  const code = await runProgram(argv, { stdout: stream("stdout"), stderr: stream("stderr"), signal, env });
  return { code, ...written };
}

export const tinyConfig = {
  ...{ inputSize: 28, patchSize: 14, inChannels: 1, hiddenSize: 8 },
  ...{ depth: 4, numHeads: 2, numClasses: 10 },
};

/** Writes a model of `config` whose weights leave nothing at zero. */
export async function plantModel(path: string, config: object = tinyConfig, facts: Partial<ModelFacts> = {}) {
  const model = modelOf(config);
  await saveModel(path, model, awakeWeights(weightSpecs(model)), {
    ...{ weights: "ema", images: 12, prunings: [], process: { kind: "gaussian", schedule: "linear", steps: 1000 } },
    ...facts,
  });
  return path;
}

/** 40 images of 28 × 28 and their labels 0 … 9 as IDX files; returns the options that name them. */
export function plantImages(folder: string): string[] {
  const pixels = integers({ seed: 1, purpose: "pixels", step: 0, index: 0 }, 40 * 28 * 28, 256);
  const labels = Array.from({ length: 40 }, (_, i) => i % 10);
  writeFileSync(join(folder, "images.idx"), idx([40, 28, 28], pixels));
  writeFileSync(join(folder, "labels.idx"), idx([40], labels));
  return ["--data", join(folder, "images.idx"), "--labels", join(folder, "labels.idx")];
}

/** An IDX file of unsigned bytes. */
export function idx(shape: readonly number[], values: ArrayLike<number>): Uint8Array {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.set([0, 0, 8, shape.length]);
  for (const [axis, size] of shape.entries()) header.writeUInt32BE(size, 4 + 4 * axis);
  return Buffer.concat([header, Uint8Array.from(values)]);
}

/** A safetensors file with any header, right or wrong. */
export function safetensors(header: string, data = new Uint8Array(), length = Buffer.byteLength(header)): Uint8Array {
  const first = Buffer.alloc(8);
  first.writeBigUInt64LE(BigInt(length));
  return Buffer.concat([first, Buffer.from(header), data]);
}

/** All files below a folder with size and time, to see whether anything was written. */
export function contents(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .sort()
    .map((name) => {
      const { size, mtimeMs } = statSync(join(folder, name));
      return statSync(join(folder, name)).isFile() ? `${name} ${size} ${mtimeMs}` : name;
    });
}

export const readJsonFile = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));
