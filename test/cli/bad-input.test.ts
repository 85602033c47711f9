/** Every wrong call gets one clear message and its exit code, without a stack trace, and leaves nothing behind. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeSafetensors } from "../../src/formats/safetensors.ts";
import { modelOf } from "../../src/models/registry.ts";
import { weightSpecs } from "../../src/weights/model-file.ts";
import { awakeWeights } from "../training/tiny.ts";
import { contents, idx, plantImages, plantModel, run, safetensors, tinyConfig } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "bad-input-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...parts: string[]): string => join(folder, ...parts);
const write = (name: string, content: string | Uint8Array): void => writeFileSync(at(name), content);

const [model, out] = [at("model.safetensors"), ["--out", at("new")]];
let data: string[] = [];

/** A model file with this description over the tiny model's weights. */
function plantDescription(name: string, description: string): void {
  const weights = awakeWeights(weightSpecs(modelOf(tinyConfig)));
  write(name, Buffer.concat([...encodeSafetensors(weights, { tinyfusion: description })]));
}

const f32 = (begin: number, end: number, shape: string) =>
  `{"dtype":"F32","shape":${shape},"data_offsets":[${begin},${end}]}`;

beforeAll(async () => {
  data = plantImages(folder);
  await plantModel(model);
  await plantModel(at("wide.safetensors"), { ...tinyConfig, hiddenSize: 16 });
  await plantModel(at("latent.safetensors"), { ...tinyConfig, inChannels: 4 });
  await plantModel(at("classes.safetensors"), { ...tinyConfig, numClasses: 5 });
  await plantModel(at("unpaired.safetensors"), tinyConfig, {
    prunings: [{ parent: "ab".repeat(32), parentDepth: 4, kept: [0, 1, 2, 3], layerMap: [] }],
  });
  const weights = awakeWeights(weightSpecs(modelOf(tinyConfig)));
  weights.delete("blocks.1.attn.qkv.bias");
  weights.set("stranger", weights.get("pos_embed")!);
  weights.set("blocks.0.mlp.fc1.bias", weights.get("pos_embed")!);
  const description = JSON.stringify({ config: tinyConfig });
  write("misfit.safetensors", Buffer.concat([...encodeSafetensors(weights, { tinyfusion: description })]));
  write("foreign.safetensors", Buffer.concat([...encodeSafetensors(weights)]));
  write("truncated.safetensors", readFileSync(model).subarray(0, 5000));
  write("short.safetensors", "abc");
  write("empty.safetensors", "");
  write("text.safetensors", "this is no model, but long enough to have a header length");
  write("liar.safetensors", safetensors("{}", new Uint8Array(), 2 ** 40));
  write("overlap.safetensors", safetensors(`{"a":${f32(0, 8, "[2]")},"b":${f32(4, 12, "[2]")}}`, new Uint8Array(12)));
  write("beyond.safetensors", safetensors(`{"a":${f32(0, 800, "[200]")}}`, new Uint8Array(8)));
  write("twice.safetensors", safetensors(`{"a":${f32(0, 4, "[1]")},"a":${f32(0, 4, "[1]")}}`, new Uint8Array(4)));
  write("list.safetensors", safetensors("[1]"));
  plantDescription("deep.safetensors", JSON.stringify({ config: { ...tinyConfig, depth: 1e9 } }));
  plantDescription(
    "long.safetensors",
    JSON.stringify({ config: tinyConfig, process: { schedule: "linear", steps: 1e12 } }),
  );
  plantDescription("garbled.safetensors", "{config");
  write("few.idx", idx([2], [1, 2]));
  write("none.idx", idx([0, 28, 28], []));
  write("no-labels.idx", idx([0], []));
  write("text.json", "not json");
  write("list.json", "[1, 2]");
  write("kept.json", '{"method": "learned", "depth": 4, "kept": "all"}');
  write("unknown.json", '{"inputSize": 28, "hidden": 8}');
  write("bad.yaml", "steps: [1");
  write("list.yaml", "- 1\n");
  write("groups.yaml", "groups: 1:2\n");
  write("key.yaml", "batchsize: 3\n");
  mkdirSync(at("folder"));
});

type Case = readonly [args: () => string[], code: 1 | 2, message: RegExp];
const tiny = (...more: string[]) => ["--threads", "1", "--steps", "2", "--batch-size", "2", ...data, ...out, ...more];
const train = (...more: string[]) => ["train", "--model-config", at("tiny.json"), ...tiny(...more)];
const prune = (file: string, ...more: string[]) => ["prune", at(file), ...tiny("--groups", "1:2", ...more)];
const keep = (...more: string[]) => ["prune", model, ...out, "--blocks", ...more];
const finetune = (...more: string[]) => ["finetune", model, ...tiny(...more)];
beforeAll(() => write("tiny.json", JSON.stringify(tinyConfig)));

const usage: Readonly<Record<string, Case>> = {
  "an unknown command": [() => ["trian"], 2, /unknown command 'trian'; did you mean train\?/],
  "an unknown flag": [() => train("--stepz", "5"), 2, /unknown option '--stepz'; did you mean --steps\?/],
  "no model": [() => ["prune", ...out], 2, /missing required argument 'file'/],
  "two models": [() => ["inspect", model, model], 2, /too many arguments for 'inspect'/],
  "a flag without its value": [() => ["train", "--steps"], 2, /'--steps <n>' argument missing/],
  "no folder": [() => ["train", "--model-config", at("tiny.json"), ...data], 2, /--out is required/],
  "an empty folder name": [() => train("--out", ""), 2, /--out expects text, got ""/],
  "zero steps": [() => train("--steps", "0"), 2, /--steps expects at least 1, got 0/],
  "a negative batch": [() => train("--batch-size", "-4"), 2, /--batch-size expects at least 1, got -4/],
  "half an image": [() => train("--batch-size", "2.5"), 2, /--batch-size expects a whole number, got 2\.5/],
  "a seed beyond 2^53": [() => train("--seed", "1e20"), 2, /--seed expects a whole number/],
  "no threads": [() => train("--threads", "0"), 2, /--threads expects at least 1, got 0/],
  "a share above one": [() => train("--label-drop", "1.5"), 2, /--label-drop expects at most 1, got 1\.5/],
  "an unknown choice": [() => train("--schedule", "cubic"), 2, /--schedule expects one of linear, /],
  "no image to sample": [() => ["sample", model, "--count", "0"], 2, /--count expects at least 1, got 0/],
  "images without labels": [() => ["train", "--data", at("images.idx"), ...out], 2, /--data FILE needs --labels FILE/],
  "distillation without a teacher": [() => finetune(), 2, /--teacher is required to distill/],
  "kept blocks and groups": [() => keep("0,2", "--groups", "1:2"), 2, /--blocks and --groups exclude each other/],
  "kept blocks and the default groups in a config file": [
    () => keep("0,2", "--config", at("groups.yaml")),
    2,
    /--blocks and --groups exclude each other/,
  ],
  "kept blocks and steps": [() => keep("0,2", "--steps", "3"), 2, /--blocks and --steps exclude each other/],
  "kept blocks and an update": [() => keep("0,2", "--keep-update"), 2, /--blocks and --keep-update exclude each other/],
  "kept blocks paired by groups": [
    () => keep("0,2", "--layer-map", "group"),
    2,
    /--blocks and --layer-map group exclude each other/,
  ],
  "counterfactual rows where all rows run": [
    () => prune("model.safetensors", "--execution", "dense", "--counterfactual", "0.5"),
    2,
    /--execution dense and --counterfactual exclude each other/,
  ],
  "an unknown key in the config file": [
    () => train("--config", at("key.yaml")),
    2,
    /key\.yaml: unknown key batchsize; did you mean batchSize\?/,
  ],
  "a config file that is no YAML": [() => train("--config", at("bad.yaml")), 2, /bad\.yaml: not YAML/],
  "a config file that is a list": [
    () => train("--config", at("list.yaml")),
    2,
    /list\.yaml: expected option: value lines/,
  ],
};

const files: Readonly<Record<string, Case>> = {
  "a file that does not exist": [() => prune("nowhere.safetensors"), 1, /nowhere\.safetensors: no such file/],
  "a folder given as a model": [() => prune("folder"), 1, /folder: expected a regular file, found a folder/],
  "a cut-off file": [() => prune("truncated.safetensors"), 1, /truncated\.safetensors: .*cut off\?/],
  "an empty file": [() => prune("empty.safetensors"), 1, /empty\.safetensors: expected a safetensors file/],
  "three bytes": [() => prune("short.safetensors"), 1, /short\.safetensors: expected a safetensors file/],
  "a text file": [() => prune("text.safetensors"), 1, /text\.safetensors: not a safetensors file/],
  "a header that lies about its length": [() => prune("liar.safetensors"), 1, /liar\.safetensors: .*header claims/],
  "tensors that overlap": [() => prune("overlap.safetensors"), 1, /tensor "b" overlaps tensor "a"/],
  "a tensor beyond the file": [() => prune("beyond.safetensors"), 1, /tensor "a" ends 792 bytes after the file/],
  "a name that stands twice": [() => prune("twice.safetensors"), 1, /header names "a" twice/],
  "a header that is a list": [() => prune("list.safetensors"), 1, /header must be a JSON object/],
  "a file that names no model": [
    () => prune("foreign.safetensors"),
    1,
    /does not say what model it is; name it with --model/,
  ],
  "missing, unexpected and misshaped weights together": [
    () => prune("misfit.safetensors"),
    1,
    /missing \(1\): blocks\.1\.attn\.qkv\.bias \[24\]; unexpected \(1\): stranger .*; misshaped \(1\): blocks\.0\.mlp\.fc1\.bias/,
  ],
  "weights that are not the preset's": [
    () => prune("foreign.safetensors", "--model", "DiT-Digits"),
    1,
    /does not fit the model: missing/,
  ],
  "a depth that would be traced forever": [
    () => prune("deep.safetensors"),
    1,
    /deep\.safetensors: model configuration: depth: /,
  ],
  "a diffusion process that would fill the memory": [() => prune("long.safetensors"), 1, /process .*steps: .*100000/],
  "a description that is no JSON": [() => prune("garbled.safetensors"), 1, /metadata is not JSON/],
  "a config file that does not exist": [() => train("--config", at("no.yaml")), 1, /no\.yaml: no such file/],
  "an unknown preset": [
    () => ["train", "--model", "DiT-Z/2", ...tiny()],
    1,
    /unknown model DiT-Z\/2; expected one of DiT-Digits, /,
  ],
  "a model configuration that is no JSON": [
    () => train("--model-config", at("text.json")),
    1,
    /text\.json: expected JSON/,
  ],
  "a model configuration with an unknown key": [
    () => train("--model-config", at("unknown.json")),
    1,
    /unknown\.json: .*hidden/,
  ],
  "labels that are too few": [() => train("--labels", at("few.idx")), 1, /few\.idx: expected 40 labels .* found 2/],
  "a data set without images": [
    () => train("--data", at("none.idx"), "--labels", at("no-labels.idx")),
    1,
    /none\.idx: expected between 1 and \d+ elements/,
  ],
  "images of another size": [
    () => ["train", "--model", "DiT-S/8", ...tiny()],
    1,
    /images are 1 × 28 × 28, the model takes 4 × 32 × 32/,
  ],
  "images of unknown classes": [
    () => ["train", "--init", at("classes.safetensors"), ...tiny()],
    1,
    /label 5 is outside the model's classes 0 to 4/,
  ],
  "a decision that is no decision": [() => ["inspect", at("list.json")], 1, /list\.json: expected a decision/],
  "kept blocks that are no numbers": [() => ["inspect", at("kept.json")], 1, /kept\.json: expected a decision/],
  "inspecting what does not fit": [() => ["inspect", at("misfit.safetensors")], 1, /does not fit the model/],
  "inspecting a cut-off file": [() => ["inspect", at("truncated.safetensors")], 1, /cut off\?/],
  "inspecting a folder without a run": [
    () => ["inspect", at("folder")],
    1,
    /folder: expected a regular file, found a folder/,
  ],
  "inspecting what does not exist": [() => ["inspect", at("nowhere")], 1, /nowhere: no such file/],
};

const meanings: Readonly<Record<string, Case>> = {
  "groups that do not divide the depth": [
    () => prune("model.safetensors", "--groups", "1:3"),
    1,
    /4 blocks do not divide into groups of 3; sizes that do: 2/,
  ],
  "mixed groups for another depth": [
    () => prune("model.safetensors", "--groups", "1:2,2:4"),
    1,
    /covers 6 blocks, the model has 4/,
  ],
  "groups that keep too many": [
    () => prune("model.safetensors", "--groups", "3:2"),
    1,
    /--groups 3:2: expected to keep 1 to M in N:M, found 3:2/,
  ],
  "groups that are no groups": [
    () => prune("model.safetensors", "--groups", "half"),
    1,
    /expected N:M, such as 2:4 for 2 of every 4 blocks, found "half"/,
  ],
  "groups with too many options": [
    () => prune("model.safetensors", "--groups", "20:40"),
    1,
    /ways to keep 20 of 40 blocks, more than 65536; split the group/,
  ],
  "a kept block that is not there": [() => keep("0,4"), 1, /expected block numbers from 0 to 3, found "4"/],
  "a block kept twice": [() => keep("1,1"), 1, /--blocks 1,1: expected each block once/],
  "a layer map for kept blocks that are not there": [
    () => keep("0,2", "--layer-map", "2:1"),
    1,
    /2:1 is out of range; the student has/,
  ],
  "a layer map that is none": [
    () => prune("model.safetensors", "--layer-map", "first"),
    1,
    /expected paper, group, next-kept or pairs student:teacher, such as 0:1,1:3, found "first"/,
  ],
  "a student that does not say its layer map": [
    () => finetune("--teacher", model),
    1,
    /does not say which teacher blocks its blocks correspond to; give --layer-map/,
  ],
  "a student that is paired with no block": [
    () => ["finetune", at("unpaired.safetensors"), "--teacher", model, ...tiny()],
    1,
    /unpaired\.safetensors names no pairs of blocks to compare; give --layer-map or --distill output/,
  ],
  "a teacher of another width": [
    () => finetune("--teacher", at("wide.safetensors"), "--layer-map", "0:0"),
    1,
    /they differ in hiddenSize 8 and 16/,
  ],
  "a teacher that knows other labels": [
    () => finetune("--teacher", at("classes.safetensors"), "--distill", "output"),
    1,
    /they differ in numClasses 10 and 5/,
  ],
  "an unknown label": [
    () => ["sample", model, ...out, "--classes", "1,12"],
    1,
    /unknown label "12"; the model knows 0, 1, /,
  ],
  "timesteps that do not exist": [() => ["sample", model, ...out, "--steps", "ddim333"], 1, /no whole stride/],
  "sample grids of latents": [
    () => ["finetune", at("latent.safetensors"), "--distill", "none", "--sample-every", "1", ...tiny()],
    1,
    /images are 1 × 28 × 28, the model takes 4/,
  ],
};

describe.each([
  ["how it is called", usage],
  ["the files it is given", files],
  ["what they mean together", meanings],
])("a mistake in %s:", (_, cases) => {
  test.each(Object.keys(cases))("%s", async (title) => {
    const [args, code, message] = cases[title]!;
    const before = contents(folder);
    const ended = await run(args());
    expect(ended.stderr).toMatch(message);
    expect(ended.stderr).toMatch(/^tinyfusion: [^\n]+\n$/);
    expect(ended.stderr).not.toContain("defect");
    expect(ended.code).toBe(code);
    expect(contents(folder)).toEqual(before);
  });
});

describe("a run folder", () => {
  test("of another run is refused, named, and left as it is", async () => {
    const first = ["--out", at("taken")];
    expect((await run(train(...first))).code).toBe(0);
    const before = contents(folder);
    const others: Readonly<Record<string, readonly [string[], RegExp]>> = {
      "another learning rate": [train(...first, "--learning-rate", "1"), /learningRate: was 0\.0001, now 1/],
      "more steps": [train(...first, "--steps", "3"), /steps: was 2, now 3.*to lengthen the run, add --extend/],
      "another command": [prune("model.safetensors", ...first), /command: was "train", now "prune"/],
      "blocks kept by number": [keep("0,1", ...first), /command: was "train", now "prune"/],
    };
    for (const [title, [args, message]] of Object.entries(others)) {
      const ended = await run(args);
      expect(ended.stderr, title).toMatch(message);
      expect(ended.stderr, title).toMatch(/^tinyfusion: .*taken holds a run with other settings/);
      expect(ended.code, title).toBe(1);
    }
    const now = contents(folder).filter((line) => !before.includes(line));
    expect(now).toEqual([]);
  });

  test("does not go on with other images or labels under the same name", async () => {
    const again = train("--out", at("changed"), "--save-every", "1");
    expect((await run(again)).code).toBe(0);
    expect((await run(again)).code).toBe(0);
    for (const name of ["images.idx", "labels.idx"]) {
      const before = readFileSync(at(name));
      const other = Buffer.from(before);
      other[other.length - 1] = other.at(-1) === 0 ? 1 : 0;
      write(name, other);
      const { code, stderr } = await run(again);
      write(name, before);
      expect(stderr, name).toMatch(/changed holds a run with other settings \(dataSha256: was "[0-9a-f]{64}", now "/);
      expect(code).toBe(1);
    }
  });

  test.each([
    ["that is a file", () => at("text.json"), /text\.json/],
    ["below a file", () => at("text.json", "run"), /a part of this path is a file, not a folder/],
    ["where nothing may be written", () => "/proc/tinyfusion/run", /cannot make folder \/proc\/tinyfusion\/run/],
  ])("%s is refused by train, prune and sample", async (_, path, message) => {
    const before = contents(folder);
    const where = ["--out", path()];
    const sampling = ["sample", model, "--count", "2", "--steps", "2", "--threads", "1"];
    for (const args of [train(...where), prune("model.safetensors", ...where), [...sampling, ...where]]) {
      const ended = await run(args);
      const last = ended.stderr.trimEnd().split("\n").at(-1)!;
      expect(last).toMatch(message);
      expect(last).toMatch(/^tinyfusion: cannot /);
      expect(ended.code).toBe(1);
    }
    expect(contents(folder)).toEqual(before);
  });
});

test("--debug adds the stack, and only then", async () => {
  const { stderr } = await run(["inspect", at("nowhere"), "--debug"]);
  expect(stderr).toMatch(/^tinyfusion: .*no such file.*\nInputError: .*\n\s+at /);
});

test("names in a file cannot steer the terminal", async () => {
  const name = "\\u001b[2Jblocks\\r\\n";
  write("names.safetensors", safetensors(`{"${name}":${f32(0, 4, "[1]")}}`, new Uint8Array(4)));
  const { stdout, code } = await run(["inspect", at("names.safetensors"), "--tensors"]);
  expect(code).toBe(0);
  expect(stdout).toContain("[2Jblocks");
  expect(stdout).not.toContain("\u001b");
  expect(stdout).not.toContain("\r");
});
