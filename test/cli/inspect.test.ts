import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { float32, int32, type NDArray } from "../../src/array/ndarray.ts";
import { processOf } from "../../src/diffusion/process.ts";
import { encodeSafetensors } from "../../src/formats/safetensors.ts";
import type { MarConfig } from "../../src/models/mar/config.ts";
import { presets } from "../../src/models/presets.ts";
import { modelOf } from "../../src/models/registry.ts";
import { loadModel, weightSpecs } from "../../src/weights/model-file.ts";
import { contents, plantImages, plantModel, run, safetensors, tinyConfig } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "inspect-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...parts: string[]): string => join(folder, ...parts);
const model = at("model.safetensors");

beforeAll(() => plantModel(model));

async function json(...args: string[]) {
  const { code, stdout, stderr } = await run(["inspect", ...args, "--json"]);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  return JSON.parse(stdout);
}

test("a model file tells its model, weights, history and hash, and nothing is written", async () => {
  const before = contents(folder);
  const facts = await json(model);
  const file = await loadModel(model);
  const sizes = Array.from(file.tensors.values(), ({ size }) => size);
  expect(facts).toMatchObject({
    ...{ kind: "model", path: model, bytes: readFileSync(model).length, tensors: sizes.length, problem: null },
    sha256: createHash("sha256").update(readFileSync(model)).digest("hex"),
    dtypes: { float32: sizes.length },
    model: { config: tinyConfig, preset: null, weights: "ema", images: 12, prunings: [], keptOfRoot: null },
  });
  const { total, blocks, outsideBlocks, constant } = facts.parameters;
  expect(total).toBe(sizes.reduce((sum, size) => sum + size, 0));
  expect(blocks).toHaveLength(4);
  expect(blocks.reduce((sum: number, size: number) => sum + size, outsideBlocks)).toBe(total);
  expect(constant).toBe(4 * 8);
  expect(contents(folder)).toEqual(before);
});

test("as a table it is made for people", async () => {
  const { stdout, code } = await run(["inspect", model]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^file +\S+model\.safetensors\nkind +model\nmodel +none of the presets\n/);
  expect(stdout).toMatch(/\nimages seen +12\n/);
  expect(stdout).toMatch(/\nweights +moving average \(EMA\)\n/);
  expect(stdout).toMatch(/\nparameters +[\d,]+: 4 blocks of [\d,]+, [\d,]+ outside blocks/);
  expect(stdout).toMatch(/\npruned +never\n/);
});

test("--tensors lists each one with type, shape and numbers", async () => {
  const { stdout } = await run(["inspect", model, "--tensors"]);
  expect(stdout).toMatch(/\nblocks\.3\.attn\.qkv\.weight +float32 +\[24, 8\] +192\n/);
  const { tensors } = await json(model, "--tensors");
  expect(tensors).toHaveLength((await loadModel(model)).tensors.size);
  expect(tensors).toContainEqual({ name: "blocks.3.attn.qkv.weight", dtype: "float32", shape: [24, 8] });
});

test("a twice pruned model tells both prunings, and its blocks under the root's numbers", async () => {
  const kept = async (from: string, blocks: string, out: string) => {
    const ended = await run(["prune", from, "--blocks", blocks, "--out", at(out)]);
    expect(ended.code, ended.stderr).toBe(0);
    return at(out, "pruned.safetensors");
  };
  const once = await kept(model, "0,2,3", "once");
  const twice = await kept(once, "1,2", "twice");
  const { model: facts } = await json(twice);
  expect(facts.keptOfRoot).toEqual([2, 3]);
  expect(facts.prunings.map(({ kept: blocks }: { kept: number[] }) => blocks)).toEqual([
    [0, 2, 3],
    [1, 2],
  ]);
  expect(facts.prunings[1].parent).toBe((await json(once)).sha256);
  const { stdout } = await run(["inspect", twice]);
  expect(stdout).toMatch(/\npruning 2 +kept 2 of 3\n +kept blocks +1 2\n/);
  expect(stdout).toMatch(/\nblocks of the root +2 3\n/);
  const decision = await json(at("twice", "decision.json"));
  expect(decision).toMatchObject({ kind: "decision", method: "indices", depth: 3, kept: [1, 2], confidence: null });
});

test("a preset is recognised, whole and pruned", async () => {
  const digits = { ...presets.get("DiT-Digits")! };
  await plantModel(at("digits.safetensors"), digits);
  await plantModel(at("half.safetensors"), { ...digits, depth: 14 });
  expect((await json(at("digits.safetensors"))).model.preset).toBe("DiT-Digits");
  expect((await json(at("half.safetensors"))).model.preset).toBe("DiT-Digits with 14 of 28 blocks");
  const { tensors } = await loadModel(at("digits.safetensors"));
  writeFileSync(at("foreign.safetensors"), Buffer.concat([...encodeSafetensors(tensors)]));
  expect(await json(at("foreign.safetensors"))).toMatchObject({ kind: "tensors", model: null, fits: ["DiT-Digits"] });
});

const marConfig = {
  ...{ family: "mar", inputSize: 28, patchSize: 14, inChannels: 1, numClasses: 10, bufferSize: 2 },
  ...{ encoderDepth: 3, encoderSize: 8, encoderHeads: 2, decoderDepth: 4, decoderSize: 12, decoderHeads: 2 },
  ...{ denoiserDepth: 1, denoiserSize: 8 },
};

test("a flow and its settings are told", async () => {
  const process = { kind: "flow", path: "gvp", prediction: "noise", weighting: "velocity" } as const;
  const path = await plantModel(at("sit.safetensors"), { ...tinyConfig, family: "sit" }, { process });
  const { model: facts } = await json(path);
  expect(facts).toMatchObject({ process, stacks: [4], config: { ...tinyConfig, family: "sit", learnSigma: true } });
  const { stdout } = await run(["inspect", path]);
  expect(stdout).toMatch(/\ndepth +4 blocks\n/);
  expect(stdout).toMatch(/\nprocess +flow on the gvp path, noise prediction, velocity weighting\n/);
});

test("a model of two stacks tells both depths, and where the kept blocks of its root lie", async () => {
  const process = { kind: "tokens", schedule: "linear", steps: 50, copies: 2 } as const;
  const path = await plantModel(at("mar.safetensors"), marConfig, { process });
  const whole = await json(path);
  expect(whole.model).toMatchObject({ process, stacks: [3, 4], keptOfRoot: null, preset: null });
  expect(whole.model.config).toMatchObject({ ...marConfig, depth: 7 });
  expect(whole.parameters.blocks).toHaveLength(7);
  const { stdout } = await run(["inspect", path]);
  expect(stdout).toMatch(/\ndepth +3 \+ 4 blocks\n/);
  expect(stdout).toMatch(/\nprocess +diffusion of masked tokens, linear, 50 steps\n/);
  expect(stdout).toMatch(/\nparameters +[\d,]+: 3 blocks of [\d,]+ \+ 4 blocks of [\d,]+, /);
  expect(stdout).not.toContain("blocks of the root");

  const kept = async (from: string, blocks: string, out: string) => {
    expect((await run(["prune", from, "--blocks", blocks, "--out", at(out)])).stderr).toBe("");
    return at(out, "pruned.safetensors");
  };
  const once = await kept(path, "0,2,4,5,6", "mar-once");
  expect((await json(once)).model).toMatchObject({ stacks: [2, 3], keptOfRoot: [0, 2, 4, 5, 6] });
  expect((await run(["inspect", once])).stdout).toMatch(/\nblocks of the root +0 2 \+ 4 5 6\n/);
  const twice = await kept(once, "2,4", "mar-twice");
  expect((await json(twice)).model).toMatchObject({ stacks: [0, 2], keptOfRoot: [4, 6] });
  const shown = (await run(["inspect", twice])).stdout;
  expect(shown).toMatch(/\ndepth +0 \+ 2 blocks\n/);
  expect(shown).toMatch(/\nblocks of the root +none \+ 4 6\n/);
});

test("a preset of two stacks is recognised with other depths, and a deeper model is none", async () => {
  const named = async (config: object) => {
    const { model: facts } = await json(
      await plantModel(at("named.safetensors"), config, { process: processOf("tokens") }),
    );
    return facts.preset;
  };
  const { depth: _, ...digits } = presets.get("MAR-Digits") as MarConfig;
  expect(await named(digits)).toBe("MAR-Digits");
  expect(await named({ ...digits, encoderDepth: 3, decoderDepth: 5 })).toBe("MAR-Digits with 3 + 5 of 14 + 14 blocks");
  expect(await named({ ...digits, encoderDepth: 15, decoderDepth: 5 })).toBeNull();
});

/** A file without description that holds zeros under the names and shapes of a model's weights. */
function plantShapes(config: object, rename = (name: string) => name): string {
  let end = 0;
  const entries = weightSpecs(modelOf(config)).map(({ name, shape }) => {
    const start = end;
    end += 2 * shape.reduce((product, size) => product * size, 1);
    return [rename(name), { dtype: "F16", shape, data_offsets: [start, end] }];
  });
  const path = at("shapes.safetensors");
  const header = safetensors(JSON.stringify(Object.fromEntries(entries)));
  writeFileSync(path, header);
  truncateSync(path, header.length + end);
  return path;
}

test.each<[string, readonly string[], ...Parameters<typeof plantShapes>]>([
  ["whole", ["DiT-S/8", "SiT-S/8"], presets.get("SiT-S/8")!],
  ["shallow", ["DiT-S/8 with 1 of 12 blocks", "SiT-S/8 with 1 of 12 blocks"], { ...presets.get("DiT-S/8")!, depth: 1 }],
  ["without variance", ["SiT-Digits"], { ...presets.get("DiT-Digits")!, learnSigma: false }],
  ["of two stacks", ["MAR-Digits"], presets.get("MAR-Digits")!],
  [
    "shallow, of two stacks",
    ["MAR-Digits with 3 + 0 of 14 + 14 blocks"],
    { ...presets.get("MAR-Digits")!, depth: 3, encoderDepth: 3, decoderDepth: 0 },
  ],
  [
    "with a block missing",
    [],
    { ...presets.get("DiT-Digits")!, depth: 3 },
    (name) => name.replace("blocks.1.", "blocks.7."),
  ],
])("undescribed weights tell all presets that they could be: %s", async (_, fits, config, rename) => {
  const path = plantShapes(config, rename);
  expect(await json(path)).toMatchObject({ kind: "tensors", model: null, fits });
  const { stdout } = await run(["inspect", path]);
  if (fits.length > 0) expect(stdout).toContain(`\ncould be    ${fits.join(", ")} (by names and shapes)\n`);
  else expect(stdout).not.toContain("could be");
});

test("any other safetensors file tells its tensors and metadata", async () => {
  const tensors = new Map<string, NDArray>([
    ["a", float32([1, 2, 3])],
    ["b", int32([1])],
  ]);
  const path = at("other.safetensors");
  writeFileSync(path, Buffer.concat([...encodeSafetensors(tensors, { note: "hello", more: '{"x":1}' })]));
  expect(await json(path)).toMatchObject({
    ...{ kind: "tensors", tensors: 2, dtypes: { float32: 1, int32: 1 }, fits: [] },
    ...{ parameters: { total: 4, blocks: [] }, metadata: { note: "hello", more: { x: 1 } } },
  });
  const classifier = await json("models/digits/classifier.safetensors");
  expect(classifier).toMatchObject({ kind: "digit classifier", dtypes: { float16: 8 } });
  expect(classifier.metadata["tinyfusion-classifier"].config.featureSize).toBe(64);
});

test("names and metadata of a file cannot pass for lines of ours, or be nested too deep to be shown", async () => {
  const path = at("odd.safetensors");
  const odd = new Map<string, NDArray>([["a\nkind  model", float32([1])]]);
  odd.set("n".repeat(10_000), float32([1]));
  const deep = "[".repeat(100_000) + "]".repeat(100_000);
  writeFileSync(path, Buffer.concat([...encodeSafetensors(odd, { "b\nkind": "c\nkind  model", deep })]));
  const { code, stdout } = await run(["inspect", "--tensors", path]);
  expect(code).toBe(0);
  expect(stdout.match(/^kind/gm)).toHaveLength(1);
  expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThan(600);
  expect((await json(path)).metadata.deep).toBe(deep);
});

test("a folder whose config.json says no command is no run", async () => {
  mkdirSync(at("foreign"));
  writeFileSync(at("foreign", "config.json"), '{"model_type": "llama"}');
  const { code, stderr } = await run(["inspect", at("foreign")]);
  expect(stderr).toMatch(/found a folder without weights, only config\.json/);
  expect(code).toBe(1);
});

test.each([
  [[], "never changed in 9 steps"],
  [[4], "changed once after step 4 of 9"],
  [[2, 7], "changed 2 times, last after step 7 of 9"],
])("a decision that flipped after steps %j %s", async (flips, text) => {
  const decision = { method: "learned", depth: 4, kept: [0, 3], flips, steps: 9 };
  writeFileSync(at("decision.json"), JSON.stringify(decision));
  expect((await run(["inspect", at("decision.json")])).stdout.trimEnd()).toMatch(new RegExp(`\\nchanges +${text}$`));
});

test("a run folder tells how far it is and what its latest checkpoint holds", async () => {
  const common = ["--threads", "1", "--steps", "2", "--batch-size", "2", ...plantImages(folder)];
  const trained = ["train", "--init", model, "--out", at("run"), ...common];
  expect((await run(trained)).code).toBe(0);
  const facts = await json(at("run"));
  expect(facts).toMatchObject({ kind: "run", command: "train", steps: 2, step: 2, images: 4, decision: null });
  expect(facts.file).toMatchObject({ kind: "model", model: { images: 16, weights: "ema" } });
  const latest = await json(at("run", "checkpoints", "step-00000002"));
  expect(latest.sha256).toBe(facts.file.sha256);

  expect((await run(["prune", model, "--groups", "1:2", "--out", at("mask"), ...common])).code).toBe(0);
  const mask = await json(at("mask"));
  expect(mask).toMatchObject({ command: "prune", decision: { method: "learned", groups: "1:2", steps: 2 } });
  expect(mask.file.model.prunings[0].kept).toEqual(mask.decision.kept);
  const { stdout } = await run(["inspect", at("mask", "decision.json")]);
  expect(stdout).toMatch(/\nkept +2 of 4: \d \d\n/);
  expect(stdout).toMatch(/\nconfidence +0\.\d\d 0\.\d\d\n/);
  cpSync(at("mask", "config.json"), at("lonely", "config.json"), { recursive: true });
  expect(await json(at("lonely"))).toMatchObject({ kind: "run", step: null, file: null, lastLine: null });
});

test("a decision by scores names the most and the least important blocks, its calibration and its time", async () => {
  const scores = [0.5, 0.1, 0.9, 0.3, 0.2, 0.8, 0.4];
  const calibration = { examples: 1024, seed: 3, dataSha256: "", process: {} };
  const decision = { method: "shortgpt", depth: 7, kept: [0, 2, 5], budget: [3], scores, calibration, seconds: 2.04 };
  writeFileSync(at("scored.json"), JSON.stringify(decision));
  const { stdout } = await run(["inspect", at("scored.json")]);
  expect(stdout).toMatch(/\nbudget +3 blocks, anywhere\n/);
  expect(stdout).toMatch(
    /\nblocks by score +2 \(0\.900\) 5 \(0\.800\) 0 \(0\.500\) … 3 \(0\.300\) 4 \(0\.200\) 1 \(0\.100\)\n/,
  );
  expect(stdout).toMatch(/\nmeasured on +1,024 examples, seed 3\nchosen in +2\.0 s\n/);
  writeFileSync(at("scored.json"), JSON.stringify({ ...decision, scores: ["a"] }));
  expect((await run(["inspect", at("scored.json")])).stderr).toContain("expected numbers in scores");
});
