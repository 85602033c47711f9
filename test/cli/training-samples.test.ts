import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode } from "fast-png";
import { afterAll, beforeAll, expect, test } from "vitest";
import { plantImages, plantModel, readJsonFile, run, tinyConfig } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "training-samples-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...parts: string[]): string => join(folder, ...parts);
const model = at("model.safetensors");
let common: string[] = [];

beforeAll(async () => {
  await plantModel(model, { ...tinyConfig, depth: 2 });
  common = ["--threads", "1", "--steps", "4", "--batch-size", "2", "--learning-rate", "0.01", ...plantImages(folder)];
});

async function trained(command: "train" | "finetune", out: string, ...options: string[]): Promise<string> {
  const start =
    command === "train" ? ["train", "--init", model] : ["finetune", model, "--teacher", model, "--layer-map", "0:0"];
  const { code, stderr } = await run([...start, "--out", at(out), ...common, ...options]);
  expect(code, stderr).toBe(0);
  return at(out, "checkpoints", "step-00000004");
}

test.each([
  "train",
  "finetune",
] as const)("%s draws a grid every N steps, and trains the same weights as without", async (command) => {
  const plain = await trained(command, `${command}-plain`);
  const drawn = await trained(command, `${command}-drawn`, "--sample-every", "2", "--sample-count", "40");
  for (const file of readdirSync(plain)) {
    expect(readFileSync(join(drawn, file)).equals(readFileSync(join(plain, file))), file).toBe(true);
  }
  expect(readJsonFile(at(`${command}-drawn/config.json`))).toEqual(readJsonFile(at(`${command}-plain/config.json`)));
  expect(existsSync(at(`${command}-plain/samples`))).toBe(false);
  const grids = readdirSync(at(`${command}-drawn/samples`)).sort();
  expect(grids).toEqual(["step-00000002.png", "step-00000004.png"]);
  const [first, second] = grids.map((name) => readFileSync(at(`${command}-drawn/samples`, name)));
  expect(first!.equals(second!)).toBe(false);
  const { width, height } = decode(first!);
  expect([width, height]).toEqual([10 * (2 * 28 + 2) - 2, 4 * (2 * 28 + 2) - 2]);
});

test("resumes whatever --sample-every says, and draws the same pictures again", async () => {
  await trained("train", "again", "--sample-every", "2");
  const before = readFileSync(at("again/samples/step-00000004.png"));
  rmSync(at("again/checkpoints"), { recursive: true });
  await trained("train", "again", "--sample-every", "4");
  expect(readFileSync(at("again/samples/step-00000004.png")).equals(before)).toBe(true);
});
