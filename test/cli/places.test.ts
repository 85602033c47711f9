/** Every command asks whether it can write its results before it does the work that they take. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { plantModel, run } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "places-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...parts: string[]): string => join(folder, ...parts);
const model = at("model.safetensors");

beforeAll(async () => {
  await plantModel(model);
  writeFileSync(at("file"), "kept");
  symlinkSync(at("nowhere"), at("dangling"));
  symlinkSync(at("nowhere"), at("dangling.png"));
  symlinkSync(at("nowhere"), at("dangling.npz"));
  mkdirSync(at("evaluated", "report.html"), { recursive: true });
});

/** Places where no folder can be made, and where none of such a file. */
const folders = [at("file"), at("file", "in"), at("dangling"), at("dangling", "in"), "/proc/x", "/dev/full"];
const files = (ending: string) => [
  at("file", `x.${ending}`),
  at(`dangling.${ending}`),
  `/proc/x.${ending}`,
  `/dev/full/x.${ending}`,
];

describe.each<[string, string[], string, readonly string[]]>([
  ["sample", [model], "--out", folders],
  ["generate", [model, "--count", "20"], "--out", folders],
  ["evaluate", [model, "--count", "20"], "--out", [...folders, at("evaluated")]],
  ["pareto", [model, "--count", "20"], "--out", folders],
  ["export", [model, "--onnx"], "--out", folders],
  ["convert", [model, "--to", "diffusers"], "--out", folders],
  ["prune-width", [model, "--criterion", "magnitude"], "--out", folders],
  ["train-classifier", ["--steps", "1", "--out", at("classifier")], "--export", folders],
  ["compare", [model, model, "--count", "2"], "--out", files("png")],
  ["reference", ["test/faults/uint32-labels.npz"], "--out", files("npz")],
])("tinyfusion %s %o %s", (command, options, flag, places) => {
  test.each(places)("%s is refused in one sentence before any work", async (place) => {
    const before = readdirSync(folder, { recursive: true }).sort();
    const { code, stdout, stderr } = await run([command, ...options, flag, place]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^tinyfusion: cannot .*\n$/);
    expect(readdirSync(folder, { recursive: true }).sort()).toEqual(before);
  });
});
