/** A model trained without dropping labels: no command guides it or drops labels for it, and files keep that fact. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { plantImages, plantModel, readJsonFile, run, tinyConfig } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "null-class-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);
const data = plantImages(folder);
const config = { ...tinyConfig, nullClass: false };
let without: string;
let ordinary: string;
beforeAll(async () => {
  without = await plantModel(at("without.safetensors"), config);
  ordinary = await plantModel(at("ordinary.safetensors"));
});

const quick = ["--steps", "ddim2", "--threads", "1"];
const refusal =
  'tinyfusion: guidance of 2 needs a class for "no label", which this model does not have: it was trained without ' +
  "dropping labels; use --cfg 1\n";

describe("guidance is refused before anything is written:", () => {
  test.each<readonly [string, () => readonly string[]]>([
    ["sample", () => ["sample", without, "--count", "2", "--out", at("s"), ...quick]],
    ["generate", () => ["generate", without, "--count", "2", "--out", at("g"), ...quick]],
    ["evaluate", () => ["evaluate", without, "--count", "20", "--out", at("e"), ...quick]],
    ["compare", () => ["compare", without, without, "--count", "2", "--out", at("c.png"), ...quick]],
    ["compare with another", () => ["compare", ordinary, without, "--count", "2", "--out", at("c.png"), ...quick]],
    ["bench-model", () => ["bench-model", without, "--batches", "2", "--rounds", "1", ...quick]],
    ["pareto", () => ["pareto", without, "--count", "20", "--out", at("p"), ...quick]],
    ["export", () => ["export", without, "--onnx", "--out", at("x"), ...quick]],
  ])("%s", async (_, argv) => {
    const { code, stderr } = await run([...argv(), "--cfg", "2"]);
    expect([code, stderr]).toEqual([1, refusal]);
    for (const name of ["s", "g", "e", "c.png", "p", "x"]) expect(existsSync(at(name)), name).toBe(false);
  });

  test("export with guidance inside", async () => {
    const { code, stderr } = await run(["export", without, "--onnx", "--guidance", "--out", at("x"), ...quick]);
    expect(code).toBe(1);
    expect(stderr).toContain('guidance inside the file needs a class for "no label"');
    expect(existsSync(at("x"))).toBe(false);
  });
});

describe("without guidance there are images:", () => {
  test("that is the default, and what --cfg 1 says", async () => {
    const first = await run(["sample", without, "--count", "2", "--out", at("one"), ...quick]);
    expect(first.code, first.stderr).toBe(0);
    expect(readJsonFile(at("one/samples.json"))).toMatchObject({ settings: { cfgScale: 1 } });
    expect((await run(["sample", without, "--count", "2", "--cfg", "1", "--out", at("two"), ...quick])).code).toBe(0);
  });

  test("two models are compared alike: neither is guided", async () => {
    const pair = ["compare", ordinary, without, "--count", "2", "--out", at("pair.png"), "--json", ...quick];
    const { code, stdout, stderr } = await run(pair);
    expect(code, stderr).toBe(0);
    expect(stdout.match(/"cfgScale": \d/g)).toEqual(expect.arrayContaining(['"cfgScale": 1']));
    expect(stdout).not.toContain('"cfgScale": 2');
  });

  test("an exported pipeline says that there is no such class", async () => {
    const exported = await run(["export", without, "--onnx", "--out", at("exported"), ...quick]);
    expect(exported.code, exported.stderr).toBe(0);
    const pipeline = readJsonFile(at("exported/pipeline.json"));
    expect(pipeline).toMatchObject({ classes: { count: 10, none: null }, guidance: null, sampling: { cfgScale: 1 } });
  });
});

describe("no label is dropped:", () => {
  const loop = [...data, "--steps", "1", "--batch-size", "2", "--threads", "1", "--sample-every", "1"];
  const commands: Readonly<Record<string, () => readonly string[]>> = {
    train: () => ["train", "--init", without],
    finetune: () => ["finetune", without, "--distill", "none"],
    distilling: () => ["finetune", without, "--teacher", without, "--distill", "output"],
  };

  test.each(Object.keys(commands))("%s", async (name) => {
    const given = await run([...commands[name]!(), ...loop, "--label-drop", "0.2", "--out", at(`${name}-refused`)]);
    expect([given.code, existsSync(at(`${name}-refused`))]).toEqual([1, false]);
    expect(given.stderr).toContain('--label-drop 0.2 needs a class for "no label"');
    const { code, stderr } = await run([...commands[name]!(), ...loop, "--out", at(name)]);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain("no labels are dropped");
    expect(readJsonFile(at(`${name}/config.json`))).toMatchObject({ labelDrop: 0 });
  });

  test("prune learns a mask, and the pruned model has no such class either", async () => {
    const search = ["prune", without, ...data, "--steps", "1", "--batch-size", "2", "--threads", "1"];
    const { code, stderr } = await run([...search, "--out", at("mask")]);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain("no labels are dropped");
    const inspected = await run(["inspect", at("mask/pruned.safetensors"), "--json"]);
    expect(JSON.parse(inspected.stdout)).toMatchObject({ model: { config: { nullClass: false } } });
  });

  test("a teacher with such a class is another model", async () => {
    const { code, stderr } = await run(["finetune", without, "--teacher", ordinary, ...loop, "--out", at("mixed")]);
    expect(code).toBe(1);
    expect(stderr).toContain("they differ in nullClass false and true");
  });
});

describe("a file of PyTorch is told by its table of labels:", () => {
  const fault = fileURLToPath(new URL("../faults/no-null-row.pt", import.meta.url));
  const named = ["--model-config", fileURLToPath(new URL("../faults/tiny.json", import.meta.url))];
  const sampled = async (file: string, out: string, ...more: readonly string[]) =>
    run(["sample", file, ...more, "--count", "2", "--out", at(out), ...quick]);

  test("read as 10 classes, converted there and back", async () => {
    const first = await sampled(fault, "fault", ...named);
    expect(first.code, first.stderr).toBe(0);
    expect(first.stderr).toContain('its table has no row for "no label", so there is no guidance');
    expect((await run(["convert", fault, ...named, "--out", at("back.safetensors")])).code).toBe(0);
    const converted = await run(["inspect", at("back.safetensors"), "--json"]);
    expect(JSON.parse(converted.stdout)).toMatchObject({ model: { config: { numClasses: 10, nullClass: false } } });
    expect((await sampled(at("back.safetensors"), "back", ...named)).code).toBe(0);
    expect((await run(["convert", at("back.safetensors"), "--to", "pt", "--out", at("back.pt")])).code).toBe(0);
    expect((await sampled(at("back.pt"), "back-pt", ...named)).code).toBe(0);
  });

  test("guidance is refused", async () => {
    const { code, stderr } = await sampled(fault, "refused", ...named, "--cfg", "2");
    expect(code).toBe(1);
    expect(stderr.endsWith(refusal)).toBe(true);
  });

  test("diffusers has no such model", async () => {
    const { code, stderr } = await run(["convert", fault, ...named, "--to", "diffusers", "--out", at("diffusers")]);
    expect(code).toBe(1);
    expect(stderr).toContain('diffusers\' DiT has a class for "no label", this model has none; convert to pt or');
  });
});
