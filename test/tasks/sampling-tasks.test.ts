/** The tasks that sample, as a program calls them: one settings object in, a typed result out, files where it says. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { benchModel } from "../../src/tasks/bench-model.ts";
import { compare } from "../../src/tasks/compare.ts";
import { evaluate } from "../../src/tasks/evaluate.ts";
import { generate } from "../../src/tasks/generate.ts";
import { planPareto } from "../../src/tasks/pareto/pareto.ts";
import { sample } from "../../src/tasks/sample.ts";
import { SettingError } from "../../src/tasks/settings.ts";
import { digits, plantReference } from "../cli/digit-pictures.ts";
import { plantModel, readJsonFile, tinyConfig } from "../cli/program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "sampling-tasks-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);
const [deep, shallow] = [at("deep.safetensors"), at("shallow.safetensors")];
const tiny = { steps: "ddim2", threads: 1 };

beforeAll(async () => {
  await plantModel(deep);
  await plantModel(shallow, { ...tinyConfig, depth: 2 });
  await plantReference(at("pngs"), at("real.npz"), await digits(0, 60));
}, 60_000);

describe("sample", () => {
  test("returns the images with the paths of their files, and reports each evaluation", async () => {
    const steps: number[] = [];
    const out = at("samples");
    const settings = { file: deep, count: 3, classes: "3,5", out, ...tiny };
    const result = await sample({ ...settings, onProgress: ({ step }) => steps.push(step) });
    expect([result.images.shape, [...result.labels], result.shown]).toEqual([[3, 1, 28, 28], [3, 5, 3], 3]);
    expect(result.files).toEqual({ samples: join(out, "samples.safetensors"), grid: join(out, "grid.png") });
    expect([steps, existsSync(result.files.grid!), result.evaluation]).toEqual([[1, 2], true, undefined]);
  });

  test("names its settings in errors, and throws the reason of its signal with nothing written", async () => {
    const out = at("nothing");
    await expect(sample({ file: deep, count: 0, out })).rejects.toThrow(
      new SettingError("`count` expects at least 1, got 0"),
    );
    await expect(sample({ out })).rejects.toThrow("`file` is required");
    await expect(sample({ file: deep, temperature: 1, out })).rejects.toThrow(InputError);
    await expect(sample({ file: deep, temperature: 1, out })).rejects.toThrow(
      "`temperature` does not apply to this model",
    );
    const reason = new Error("enough");
    await expect(sample({ file: deep, out, ...tiny, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(existsSync(out)).toBe(false);
  });
});

test("generate returns what is there when it is stopped, and completes it later; evaluate scores it", async () => {
  const out = at("set");
  const settings = { file: deep, count: 24, out, ...tiny };
  const stopped = await generate({ ...settings, signal: AbortSignal.abort() });
  expect([stopped.finished, stopped.images]).toEqual([false, 0]);
  const set = await generate(settings);
  expect([set.finished, set.images, set.file]).toEqual([true, 24, join(out, "samples.npz")]);
  const { evaluation, files, record } = await evaluate({
    input: out,
    reference: at("real.npz"),
    out: at("evaluation"),
    threads: 1,
    quick: true,
  });
  expect(evaluation.scores[0]).toMatchObject({ key: "frechet", value: expect.any(Number) });
  expect(readJsonFile(files.json)).toEqual(JSON.parse(JSON.stringify(record)));
}, 60_000);

test("compare and benchModel return numbers of both models", async () => {
  const pair = await compare({ first: deep, second: shallow, count: 2, out: at("pair.png"), ...tiny });
  expect([pair.models.map(({ blocks }) => blocks), pair.images.length]).toEqual([["4", "2"], 2]);
  const bench = await benchModel({ file: deep, against: shallow, batches: "2", rounds: 1, ...tiny });
  expect([bench.models.length, bench.ratios?.length, bench.machine.threads]).toEqual([2, 1, 1]);
}, 30_000);

test("planPareto counts cells and estimates their time by kind, with nothing written", async () => {
  const out = at("pareto");
  const axes = { blocks: "0,2", steps: "ddim2,ddim4", count: 20, rounds: 3, reference: at("real.npz") };
  const plan = await planPareto({ file: deep, out, ...axes, threads: 1 });
  expect(plan).toMatchObject({ cells: 4, done: 0, count: 20, rounds: 3, timed: 0 });
  expect(plan.kinds.map(({ name, cells, times }) => [name, cells, times])).toEqual([
    ["4 blocks", 2, 6],
    ["2 of 4 blocks", 2, 6],
  ]);
  expect(plan.kinds.every(({ samplingSeconds }) => samplingSeconds > 0)).toBe(true);
  expect(existsSync(out)).toBe(false);
}, 30_000);
