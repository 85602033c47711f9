/** Run folders as commands find them: moved, damaged, another's, or new and left again. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { lockFolder } from "../../src/storage/lock.ts";
import { plantImages, plantModel, run, tinyConfig } from "./program-run.ts";

const base = mkdtempSync(join(tmpdir(), "run-folders-"));
const at = (...path: string[]): string => join(base, ...path);
afterAll(() => rmSync(base, { recursive: true }));

const common = ["--threads", "1", "--batch-size", "4", "--steps", "2", "--save-every", "1"];
let data: string[] = [];
const model = at("model.safetensors");
const train = (out: string, ...more: string[]) =>
  run(["train", "--out", at(out), "--model-config", at("tiny.json"), ...common, ...data, ...more]);

async function ok(ended: ReturnType<typeof run>) {
  const { code, stderr } = await ended;
  expect(code, stderr).toBe(0);
  return stderr;
}

beforeAll(async () => {
  writeFileSync(at("tiny.json"), JSON.stringify(tinyConfig));
  data = plantImages(base);
  await plantModel(model);
  await ok(train("trained"));
  await ok(run(["prune", model, "--blocks", "0,2", "--out", at("pruned")]));
});

/** Changes one bit of the last byte. */
function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(path, bytes);
}

describe("a checkpoint with a flipped bit", () => {
  const weights = at("flipped/checkpoints/step-00000002/ema.safetensors");
  beforeAll(() => {
    cpSync(at("trained"), at("flipped"), { recursive: true });
    flip(weights);
  });

  const readers: Readonly<Record<string, () => string[]>> = {
    inspect: () => ["inspect", weights],
    "inspect of the run": () => ["inspect", at("flipped")],
    sample: () => ["sample", weights, "--out", at("grid"), "--count", "2", "--steps", "2"],
    evaluate: () => ["evaluate", at("flipped"), "--out", at("evaluation")],
    convert: () => ["convert", weights, "--out", at("converted.safetensors")],
    prune: () => ["prune", weights, "--blocks", "0", "--out", at("from-flipped")],
    finetune: () => ["finetune", weights, "--distill", "none", "--out", at("from-flipped"), ...common, ...data],
    "train --init": () => ["train", "--init", weights, "--out", at("from-flipped"), ...common, ...data],
  };

  test.each(Object.keys(readers))("is not used by %s, which names it and leaves nothing", async (name) => {
    const { code, stderr } = await run(readers[name]!());
    expect([code, stderr]).toEqual([1, expect.stringContaining(`${weights} is damaged: its SHA-256 is not the one`)]);
    for (const left of ["grid", "evaluation", "converted.safetensors", "from-flipped"])
      expect(existsSync(at(left))).toBe(false);
  });

  test("that is the newest is gone back from: the run ends as it did, and says so in one line", async () => {
    const stderr = await ok(train("flipped"));
    expect(stderr).toMatch(
      /^\S+ema\.safetensors is damaged: .*; going back to step 1, the damaged checkpoint is now \S+damaged-step-00000002$/m,
    );
    expect(readFileSync(weights)).toEqual(readFileSync(at("trained/checkpoints/step-00000002/ema.safetensors")));
    expect(await ok(run(["inspect", at("flipped")]))).toBe("");
  });
});

test("a decision that was changed after it was written is not shown, one from before there were checksums is", async () => {
  const path = at("pruned/decision.json");
  const text = readFileSync(path, "utf8");
  writeFileSync(path, text.replace("[0,2]", "[0,3]"));
  for (const what of [path, at("pruned")]) {
    const { code, stderr } = await run(["inspect", what]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/decision\.json is damaged: .*; repeat the command/)]);
  }
  writeFileSync(path, text.replace(/,\n "checksum": "\w+"/, ""));
  await ok(run(["inspect", path]));
  writeFileSync(path, text);
});

describe("a run is known by contents", () => {
  beforeEach(() => {
    rmSync(at("again"), { recursive: true, force: true });
    cpSync(at("trained"), at("again"), { recursive: true });
  });

  const withData = (images: string, labels: string, config = at("tiny.json")) =>
    run(["train", "--out", at("again"), "--model-config", config, ...common, "--data", images, "--labels", labels]);

  test("data that was moved, or is named from here, is the same", async () => {
    mkdirSync(at("moved"), { recursive: true });
    for (const name of ["images.idx", "labels.idx", "tiny.json"]) cpSync(at(name), at("moved", name));
    await ok(withData(at("moved/images.idx"), at("moved/labels.idx"), at("moved/tiny.json")));
    const here = (name: string) => relative(process.cwd(), at(name));
    expect(await ok(withData(here("images.idx"), here("labels.idx"), here("tiny.json")))).toMatch(/resumed at step 2/);
    expect(JSON.parse(readFileSync(at("again/config.json"), "utf8")).data).toBe(here("images.idx"));
  });

  test("other data under the same name is refused by name", async () => {
    cpSync(at("images.idx"), at("kept.idx"));
    flip(at("images.idx"));
    const { code, stderr } = await withData(at("images.idx"), at("labels.idx"));
    renameSync(at("kept.idx"), at("images.idx"));
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/\(dataSha256: was "\w{64}", now "\w{64}" in data \S+images\.idx, labels \S+labels\.idx\)/),
    ]);
  });

  test("another configuration under the same name is refused", async () => {
    writeFileSync(at("other.json"), JSON.stringify({ ...tinyConfig, numHeads: 1 }));
    const { code, stderr } = await withData(at("images.idx"), at("labels.idx"), at("other.json"));
    expect([code, stderr]).toEqual([1, expect.stringMatching(/\(modelConfiguration.numHeads: was 2, now 1/)]);
  });

  test("models that were moved are the same, for train --init, prune and finetune", async () => {
    cpSync(model, at("copied.safetensors"));
    for (const file of [model, at("copied.safetensors")]) {
      const from = (command: string, ...more: string[]) =>
        ok(run([command, ...more, "--out", at(`contents-${command}`), ...common, ...data]));
      await from("train", "--init", file);
      await from("prune", file);
      await from("finetune", at("pruned/pruned.safetensors"), "--teacher", file);
      await ok(run(["prune", file, "--blocks", "0,2", "--out", at("pruned")]));
    }
    const init = JSON.parse(readFileSync(at("contents-train/config.json"), "utf8")).init;
    expect(init).toBe(at("copied.safetensors"));
  }, 60_000);

  test("before contents were recorded it is known by the name, and by the data alone where that is recorded", async () => {
    const path = at("again/config.json");
    const { modelConfiguration: _, dataSha256: __, ...earlier } = JSON.parse(readFileSync(path, "utf8"));
    writeFileSync(path, JSON.stringify(earlier));
    cpSync(at("images.idx"), at("elsewhere.idx"));
    const { code, stderr } = await withData(at("elsewhere.idx"), at("labels.idx"));
    expect([code, stderr]).toEqual([1, expect.stringMatching(/other settings \(data: was \S+images\.idx", now/)]);
    await ok(withData(at("images.idx"), at("labels.idx")));
  });
});

test("runs from before a setting had its name are resumed", async () => {
  const rename = (folder: string, name: string, before: string) => {
    const path = at(folder, "config.json");
    const { [name]: value, ...others } = JSON.parse(readFileSync(path, "utf8"));
    expect(value).toBeDefined();
    writeFileSync(path, JSON.stringify({ ...others, [before]: value }));
    return () => JSON.parse(readFileSync(path, "utf8"))[name] as unknown;
  };
  const student = at("pruned/pruned.safetensors");
  const finetune = ["finetune", student, "--teacher", model, "--out", at("renamed"), ...common, ...data];
  await ok(run(finetune));
  const weight = rename("renamed", "distillWeight", "share");
  expect(await ok(run(finetune))).toMatch(/resumed at step 2/);
  expect(weight()).toBe(0.9);
  const blocks = rename("pruned", "blocks", "kept");
  await ok(run(["prune", model, "--blocks", "0,2", "--out", at("pruned")]));
  expect(blocks()).toBe("0,2");
});

test("a demo is one process's own as a whole, and one that cannot start leaves no folder", async () => {
  const release = lockFolder(at("demo"));
  const { code, stderr } = await run(["demo", "--quick", "--out", at("demo")]);
  release();
  expect([code, stderr]).toEqual([1, expect.stringMatching(/demo is in use by process \d+/)]);
  expect((await run(["demo", "--quick", "--teacher", model, "--family", "sit", "--out", at("no-demo")])).code).toBe(1);
  expect(existsSync(at("no-demo"))).toBe(false);
});
