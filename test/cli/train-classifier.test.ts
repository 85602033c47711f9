import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { trainClassifier } from "../../src/cli/train-classifier.ts";
import { loadDigitClassifier } from "../../src/evaluation/features/digit-features.ts";
import { resolveValues } from "../../src/tasks/settings.ts";

const folder = mkdtempSync(join(tmpdir(), "train-classifier-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function run(name: string, flags: Record<string, unknown> = {}, signal = new AbortController().signal) {
  const printed: string[] = [];
  const print = (line: string) => printed.push(line);
  const typed = { values: {}, positional: [] };
  const context = { signal, given: new Set<string>(), typed, print, note: () => {}, progress: () => {} };
  const options = { threads: 1, steps: 3, batchSize: 4, out: join(folder, name), logEvery: 1, ...flags };
  return { code: await trainClassifier.run(resolveValues(trainClassifier.options, options), context), printed };
}

test("train-classifier stops when told, goes on to the same weights, and exports what it made", async () => {
  const target = join(folder, "export");
  const whole = await run("whole", { export: target });
  expect(whole.code).toBe(0);
  expect(whole.printed[0]).toMatch(/step-00000003.ema\.safetensors: \d+ of 2000 held-out digits right$/);

  const stopped = await run("halves", {}, AbortSignal.abort());
  expect([stopped.code, stopped.printed]).toEqual([130, ["stopped at step 1; the same command resumes"]]);
  expect((await run("halves")).code).toBe(0);
  const last = (name: string) => readFileSync(join(folder, name, "checkpoints/step-00000003/ema.safetensors"));
  expect(last("halves").equals(last("whole"))).toBe(true);

  const facts = JSON.parse(readFileSync(join(target, "classifier.json"), "utf8"));
  expect(facts).toMatchObject({ images: 12, heldOut: { total: 2000 }, settings: { steps: 3, batchSize: 4, seed: 0 } });
  expect(facts.heldOut.correct).toBe(Math.round(2000 * facts.heldOut.accuracy));
  const metrics = readFileSync(join(target, "classifier.metrics.jsonl"), "utf8").trim().split("\n");
  expect(metrics.map((line) => JSON.parse(line).step)).toEqual([1, 2, 3]);
  const exported = loadDigitClassifier(join(target, "classifier.safetensors")).weights.get("fc1.weight")!;
  const trained = loadDigitClassifier(join(folder, "whole/checkpoints/step-00000003/ema.safetensors"));
  const exact = trained.weights.get("fc1.weight")!.data as Float32Array;
  const worst = Math.max(...exact.map((x, i) => Math.abs(x - (exported.data[i] as number))));
  expect(worst).toBeGreaterThan(0);
  expect(worst).toBeLessThan(1e-4);
});
