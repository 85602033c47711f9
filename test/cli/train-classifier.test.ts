import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { classifierWeights } from "../../src/evaluation/features/digit-network.ts";
import { trainClassifier } from "../../src/tasks/train-classifier.ts";

const folder = mkdtempSync(join(tmpdir(), "train-classifier-"));
afterAll(() => rmSync(folder, { recursive: true }));

const run = (name: string, more: { readonly export?: string; readonly signal?: AbortSignal } = {}) =>
  trainClassifier({ threads: 1, steps: 3, batchSize: 4, out: join(folder, name), logEvery: 1, ...more });

test("train-classifier stops when told, goes on to the same weights, and exports what it made", async () => {
  const target = join(folder, "export");
  const whole = await run("whole", { export: target });
  expect(whole).toMatchObject({ finished: true, step: 3, total: 2000 });

  expect(await run("halves", { signal: AbortSignal.abort() })).toEqual({ finished: false, step: 1 });
  expect((await run("halves")).finished).toBe(true);
  const last = (name: string) => readFileSync(join(folder, name, "checkpoints/step-00000003/ema.safetensors"));
  expect(last("halves").equals(last("whole"))).toBe(true);

  const facts = JSON.parse(readFileSync(join(target, "classifier.json"), "utf8"));
  expect(facts).toMatchObject({ images: 12, heldOut: { total: 2000 }, settings: { steps: 3, batchSize: 4, seed: 0 } });
  expect(facts.heldOut.correct).toBe(Math.round(2000 * facts.heldOut.accuracy));
  const metrics = readFileSync(join(target, "classifier.metrics.jsonl"), "utf8").trim().split("\n");
  expect(metrics.map((line) => JSON.parse(line).step)).toEqual([1, 2, 3]);
  const exported = classifierWeights(join(target, "classifier.safetensors")).get("fc1.weight")!;
  const trained = classifierWeights(join(folder, "whole/checkpoints/step-00000003/ema.safetensors"));
  const exact = trained.get("fc1.weight")!.data as Float32Array;
  const worst = Math.max(...exact.map((x, i) => Math.abs(x - (exported.data[i] as number))));
  expect(worst).toBeGreaterThan(0);
  expect(worst).toBeLessThan(1e-4);
});
