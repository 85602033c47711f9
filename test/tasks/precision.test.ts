/** The setting `precision`, in every task that samples. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { benchModel } from "../../src/tasks/bench-model.ts";
import { compare } from "../../src/tasks/compare.ts";
import { generate } from "../../src/tasks/generate.ts";
import { pareto } from "../../src/tasks/pareto/pareto.ts";
import { sample } from "../../src/tasks/sample.ts";
import { plantModel, readJsonFile, run } from "../cli/program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "precision-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);
const file = at("model.safetensors");
const tiny = { steps: "ddim2", threads: 1 };
beforeAll(() => plantModel(file));

const rmsOf = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.sqrt(Array.from(a, (x, i) => (x - b[i]!) ** 2).reduce((sum, x) => sum + x) / a.length);

test("sample in int8 is a little off, is recorded, and is no sample of float32", async () => {
  const settings = { file, count: 3, ...tiny };
  const exact = await sample({ ...settings, out: at("float32") });
  const low = await sample({ ...settings, out: at("int8"), precision: "int8" });
  const error = rmsOf(low.images.data as Float32Array, exact.images.data as Float32Array);
  expect(error).toBeGreaterThan(0);
  expect(error).toBeLessThan(0.02);
  const recorded = (name: string) =>
    (readJsonFile(join(at(name), "samples.json")) as { settings: { precision?: string } }).settings.precision;
  expect([recorded("int8"), recorded("float32")]).toEqual(["int8", undefined]);
  await expect(sample({ ...settings, out: at("int8") })).rejects.toThrow(/other settings \(.*precision/);
  const again = await sample({ ...settings, out: at("int8"), precision: "int8" });
  expect([...again.images.data]).toEqual([...low.images.data]);
});

test("generate completes a set of one precision, and refuses another", async () => {
  const settings = { file, out: at("set"), ...tiny, shardSize: 2 };
  await generate({ ...settings, count: 2, precision: "int8" });
  await expect(generate({ ...settings, count: 4 })).rejects.toThrow(/precision/);
  expect((await generate({ ...settings, count: 4, precision: "int8" })).images).toBe(4);
});

test("compare and benchModel take a precision for each of both models, also of one file", async () => {
  const both = { secondPrecision: "int8", ...tiny } as const;
  const pair = await compare({ first: file, second: file, count: 2, out: at("pair.png"), ...both });
  expect(pair.models.map(({ precision }) => precision)).toEqual(["float32", "int8"]);
  expect(pair.rms).toBeGreaterThan(0);
  const same = await compare({ first: file, second: file, count: 2, out: at("same.png"), ...tiny, precision: "int8" });
  expect([same.rms, same.models[1]!.precision]).toEqual([0, "int8"]);
  const bench = await benchModel({ file, against: file, batches: "2", rounds: 1, ...both });
  expect(bench.models.map(({ settings }) => settings.precision)).toEqual([undefined, "int8"]);
  const [first, second] = bench.models.map(({ speeds }) => speeds[0]!.macsPerImage);
  expect(second).toBe(first);
});

test("pareto has it as an axis", async () => {
  const settings = { file, count: 20, rounds: 1, out: at("pareto"), threads: 1, steps: "ddim2" };
  const { results } = await pareto({ ...settings, precision: "float32,int8" });
  expect(results.map(({ settings: { precision } }) => precision)).toEqual([undefined, "int8"]);
  expect(results[1]!.id).toContain("int8");
  await expect(pareto({ ...settings, precision: "int4" })).rejects.toThrow(
    "`precision` expects some of float32, int8 by comma, got int4",
  );
}, 60_000);

test("the command line takes it", async () => {
  const out = at("shown");
  const { code, stderr } = await run([
    "sample",
    file,
    "--count",
    "2",
    "--steps",
    "ddim2",
    "--threads",
    "1",
    "--precision",
    "int8",
    "--out",
    out,
  ]);
  expect([code, stderr.includes("error")]).toEqual([0, false]);
  expect(readJsonFile(join(out, "samples.json"))).toMatchObject({ settings: { precision: "int8" } });
});
