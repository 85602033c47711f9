/** A student learns from a teacher of its family and process only; other processes than a file's are noted, or refused. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { processOf } from "../../src/diffusion/process.ts";
import { modelOf } from "../../src/models/registry.ts";
import { openModel, weightSpecs } from "../../src/weights/model-file.ts";
import { awakeWeights } from "../training/tiny.ts";
import { plantCheckpoint } from "../weights/training-checkpoint.ts";
import { plantImages, plantModel, readJsonFile, run, tinyConfig } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "teacher-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);
const loop = [...plantImages(folder), "--steps", "1", "--batch-size", "2", "--threads", "1"];
const sitConfig = { ...tinyConfig, family: "sit" };
let [dit, cosine, sit, gvp, shallow] = ["", "", "", "", ""];
beforeAll(async () => {
  dit = await plantModel(at("dit.safetensors"));
  const schedule = processOf("gaussian", { schedule: "squaredcos_cap_v2" });
  cosine = await plantModel(at("cosine.safetensors"), tinyConfig, { process: schedule });
  sit = await plantModel(at("sit.safetensors"), sitConfig, { process: processOf("flow") });
  gvp = await plantModel(at("gvp.safetensors"), sitConfig, { process: processOf("flow", { path: "gvp" }) });
  for (const [from, kept, out] of [
    [dit, "0,1,3", "once"],
    ["once/pruned.safetensors", "0,2", "shallow"],
  ] as const) {
    const source = from === dit ? dit : at(from);
    const pruned = await run(["prune", source, "--blocks", kept, "--layer-map", "next-kept", "--out", at(out)]);
    expect(pruned.code, pruned.stderr).toBe(0);
  }
  shallow = at("shallow/pruned.safetensors");
});

const distilling = (student: string, teacher: string, ...more: readonly string[]) =>
  run(["finetune", student, "--teacher", teacher, "--distill", "output", ...loop, ...more]);

describe("distilling is refused before a folder is made:", () => {
  test.each<readonly [string, () => readonly [string, string, ...string[]], RegExp]>([
    ["a SiT from a DiT", () => [sit, dit], /it is a sit, the teacher a dit, which predicts something else/],
    ["a DiT from a SiT", () => [dit, sit], /it is a dit, the teacher a sit/],
    ["another path", () => [sit, gvp], /process is flow on the linear path, .* the teacher's flow on the gvp path/],
    ["another schedule", () => [dit, cosine], /process is Gaussian diffusion, linear, .* squaredcos_cap_v2/],
    ["an overridden path", () => [sit, sit, "--flow-path", "gvp"], /--flow-path gvp is another process than its own/],
    ["a path overridden to the teacher's", () => [sit, gvp, "--flow-path", "gvp"], /another process than its own/],
    ["an overridden prediction", () => [sit, sit, "--prediction", "noise"], /--prediction noise is another process/],
    ["an overridden schedule", () => [dit, dit, "--schedule", "squaredcos_cap_v2"], /is another process than its own/],
  ])("%s", async (_, args, message) => {
    const [student, teacher, ...more] = args();
    const { code, stderr } = await distilling(student, teacher, ...more, "--out", at("refused"));
    expect([code, existsSync(at("refused"))]).toEqual([1, false]);
    expect(stderr).toMatch(message);
  });

  test("but what only weighs a loss, or repeats the file, is allowed", async () => {
    const same = ["--flow-path", "linear", "--loss-weighting", "velocity"];
    const { code, stderr } = await distilling(sit, sit, ...same, "--out", at("same"));
    expect(code, stderr).toBe(0);
  });
});

describe("another process than a file records is noted:", () => {
  const quick = ["--count", "2", "--steps", "3", "--threads", "1"];
  test.each<readonly [string, () => readonly string[]]>([
    ["sample", () => ["sample", sit, ...quick, "--out", at("n1")]],
    ["generate", () => ["generate", sit, ...quick, "--out", at("n2")]],
    ["compare", () => ["compare", sit, sit, ...quick, "--out", at("n3.png")]],
    ["export", () => ["export", sit, "--onnx", "--out", at("n4")]],
    ["bench-model", () => ["bench-model", sit, "--batches", "2", "--rounds", "1", "--steps", "3"]],
    ["train --init", () => ["train", "--init", sit, ...loop, "--out", at("n5")]],
    ["finetune", () => ["finetune", sit, "--distill", "none", ...loop, "--out", at("n6")]],
    ["prune", () => ["prune", sit, ...loop, "--out", at("n7")]],
  ])("%s", async (_, argv) => {
    const { code, stderr } = await run([...argv(), "--flow-path", "gvp"]);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain(
      `--flow-path gvp: not as ${sit} was trained (flow on the linear path, velocity prediction, by its description)\n`,
    );
  });

  test("not where it is the same, nor where the file says nothing", async () => {
    const same = await run(["sample", sit, ...quick, "--flow-path", "linear", "--out", at("m1")]);
    expect(same.stderr).not.toContain("not as");
    await run(["convert", sit, "--out", at("bare.pt")]);
    const bare = ["--model-config", at("bare.config.json"), "--flow-path", "gvp", "--out", at("m2")];
    const assumed = await run(["sample", at("bare.pt"), ...quick, ...bare]);
    expect(assumed.code, assumed.stderr).toBe(0);
    expect(assumed.stderr).not.toContain("not as");
  });
});

describe("a layer map", () => {
  test("is composed over two prunings, from the root to the student", async () => {
    const { code, stderr } = await run(["finetune", shallow, "--teacher", dit, ...loop, "--out", at("composed")]);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain("was pruned 2 times since the teacher; their layer maps are composed");
    // next-kept: of 0,1,3 in 4 the pairs 0→0 1→2 2→3; of 0,2 in these 3 the pairs 0→1 1→2.
    expect(readJsonFile(at("composed/config.json"))).toMatchObject({
      pairs: [
        [0, 2],
        [1, 3],
      ],
    });
  });

  test("is that of the last pruning for the teacher in between", async () => {
    const between = at("once/pruned.safetensors");
    const { stderr } = await run(["finetune", shallow, "--teacher", between, ...loop, "--out", at("between")]);
    expect(stderr).not.toContain("composed");
    expect(readJsonFile(at("between/config.json"))).toMatchObject({
      pairs: [
        [0, 1],
        [1, 2],
      ],
    });
  });

  test("is asked for where the student was never as deep", async () => {
    const other = await plantModel(at("other.safetensors"), { ...tinyConfig, depth: 5 });
    const { code, stderr } = await run(["finetune", shallow, "--teacher", other, ...loop, "--out", at("none")]);
    expect(code).toBe(1);
    expect(stderr).toContain("was pruned from 3 of 4 blocks, the teacher has 5; give --layer-map");
  });
});

describe("which weights training starts from is said:", () => {
  const config = modelOf({ ...tinyConfig, depth: 2 });
  const named = () => {
    writeFileSync(at("two.json"), JSON.stringify(config.config));
    return ["--model-config", at("two.json")];
  };

  test.each<readonly [string, (file: string) => readonly string[]]>([
    ["finetune", (file) => ["finetune", file, "--distill", "none", ...loop]],
    ["train", (file) => ["train", "--init", file, ...loop]],
    ["prune", (file) => ["prune", file, ...loop]],
  ])("%s", async (name, argv) => {
    const file = plantCheckpoint(at("train.pt"), awakeWeights(weightSpecs(config)), {});
    const averaged = await run([...argv(file), ...named(), "--out", at(`${name}-ema`)]);
    expect(averaged.code, averaged.stderr).toBe(0);
    expect(averaged.stderr).toContain(
      `, from the averaged (EMA) weights of ${file} (--weights chooses among model, ema), with a fresh optimizer\n`,
    );
    const raw = await run([...argv(file), ...named(), "--weights", "model", "--out", at(`${name}-raw`)]);
    expect(raw.stderr).toContain(`, from the raw weights of ${file} (`);
  });
});

test("finetune notes the configurations, so that another one is not the same run", async () => {
  const bare = at("own.pt");
  await run(["convert", dit, "--out", bare]);
  const given = ["finetune", bare, "--model-config", at("own.config.json"), "--distill", "none", ...loop];
  expect((await run([...given, "--out", at("noted")])).code).toBe(0);
  const config = readJsonFile(at("noted/config.json")) as Record<string, unknown>;
  writeFileSync(at("own.config.json"), JSON.stringify({ ...(await openModel(dit)).model.config, numHeads: 4 }));
  const { code, stderr } = await run([...given, "--steps", "2", "--extend", "--out", at("noted")]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/holds a run with other settings \(modelConfiguration.student.numHeads: was 2, now 4/);

  const { modelConfiguration: _, ...before } = config; // as earlier versions wrote it
  writeFileSync(at("noted/config.json"), JSON.stringify(before));
  const old = await run([...given, "--steps", "2", "--extend", "--out", at("noted")]);
  expect(old.code, old.stderr).toBe(0);
});
