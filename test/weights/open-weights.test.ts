/** Weights of every format are told by content, found in folders, and what is none is named. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { float32, type NDArray } from "../../src/array/ndarray.ts";
import { encodeNpz } from "../../src/formats/npz.ts";
import { encodeSafetensors } from "../../src/formats/safetensors.ts";
import { encodeTorch } from "../../src/formats/torch/encode-torch.ts";
import { openWeights, weightsSha256 } from "../../src/weights/open-weights.ts";
import { safetensorsFiles, writeFolder } from "../../src/weights/output-files.ts";
import { goldenFolder } from "../golden/fixture.ts";

const folder = mkdtempSync(join(tmpdir(), "open-weights-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...parts: string[]) => join(folder, ...parts);
const golden = (name: string) => join(goldenFolder, `10_ckpt_${name}.pt`);

const tensors = new Map<string, NDArray>([
  ["a", float32([1, 2, 3])],
  ["b", float32([4, 5, 6, 7], [2, 2])],
]);
const plant = (name: string, content: Iterable<Uint8Array> | string): string => {
  mkdirSync(join(at(name), ".."), { recursive: true });
  writeFileSync(at(name), typeof content === "string" ? content : Buffer.concat([...content]));
  return at(name);
};

async function refusal(path: string): Promise<string> {
  const error = await openWeights(path).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InputError);
  return (error as InputError).message;
}

async function expectTensors(path: string, format: string) {
  const opened = await openWeights(path);
  expect(opened.format).toBe(format);
  for (const [name, array] of tensors) expect(await opened.tensors.get(name)!.read()).toEqual(array);
  expect(opened.tensors.size).toBe(tensors.size);
  return opened;
}

describe("a file is told by its content, whatever its name", () => {
  test.each([
    ["safetensors", () => plant("one.pt", encodeSafetensors(tensors))],
    ["PyTorch (zip)", () => plant("two.safetensors", encodeTorch(tensors))],
    ["npz", () => plant("three.bin", encodeNpz(tensors))],
  ])("%s", async (format, file) => {
    const opened = await expectTensors(file(), format);
    expect(opened).toMatchObject({ groups: [], notes: [] });
    expect([...opened.tensors.values()].every(({ location }) => location?.source.path !== undefined)).toBe(true);
    expect(opened.weights).toBeUndefined();
  });

  test("a training checkpoint: averaged weights first, the others when asked for", async () => {
    copyFileSync(golden("train_legacy"), at("checkpoint"));
    expect(await openWeights(at("checkpoint"))).toMatchObject({ weights: "ema", groups: ["model", "ema"] });
    expect(await openWeights(at("checkpoint"), { wanted: "model" })).toMatchObject({ weights: "raw" });
    expect((await openWeights(at("checkpoint"))).otherEntries).toMatchObject({ train_steps: 123 });
  });
});

describe("a folder", () => {
  const stored = () =>
    Array.from(tensors, ([name, array]) => ({ name, dtype: array.dtype, shape: array.shape, read: async () => array }));

  test("of several safetensors and their index", async () => {
    await writeFolder(at("shards"), safetensorsFiles(stored(), { note: "x" }, { shardBytes: 12, stem: "model" }));
    const opened = await expectTensors(at("shards"), "safetensors (2 files)");
    expect(opened.metadata).toEqual({ note: "x" });
    expect(opened.files).toHaveLength(2);
    const hash = await weightsSha256(opened);
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    await expectTensors(at("shards", "model.safetensors.index.json"), "safetensors (2 files)");
    plant("shards/model-00001-of-00002.safetensors", encodeSafetensors(new Map([["a", float32([1, 2, 4])]])));
    expect(await weightsSha256(await openWeights(at("shards")))).not.toBe(hash);
    rmSync(at("shards", "model-00002-of-00002.safetensors"));
    expect(await refusal(at("shards"))).toMatch(/model-00002-of-00002\.safetensors: no such file/);
  });

  test("with one file of weights beside others, safetensors before pickles", async () => {
    plant("single/readme.md", "hello");
    plant("single/model.pt", encodeTorch(tensors));
    await expectTensors(at("single"), "PyTorch (zip)");
    plant("single/model.safetensors", encodeSafetensors(tensors));
    await expectTensors(at("single"), "safetensors");
    plant("single/other.safetensors", encodeSafetensors(tensors));
    expect(await refusal(at("single"))).toBe(
      `${at("single")} holds several files of weights; name one of model.safetensors, other.safetensors`,
    );
  });

  test("that Accelerate or transformers saved in training: what they need to go on is no weights", async () => {
    plant("accelerate/pytorch_model.bin", encodeTorch(tensors));
    for (const name of ["optimizer.bin", "scheduler.bin", "scaler.pt", "training_args.bin", "rng_state_0.pth"])
      plant(`accelerate/${name}`, encodeTorch(new Map([["x", float32([1])]])));
    await expectTensors(at("accelerate"), "PyTorch (zip)");
    rmSync(at("accelerate", "pytorch_model.bin"));
    expect(await refusal(at("accelerate"))).toMatch(/a folder without weights, only optimizer\.bin, rng_state_0\.pth/);
  });

  test("of DeepSpeed: the latest of its states", async () => {
    plant("deepspeed/latest", "global_step20\n");
    plant("deepspeed/global_step10/mp_rank_00_model_states.pt", encodeTorch(new Map([["x", float32([1])]])));
    plant("deepspeed/global_step20/mp_rank_00_model_states.pt", encodeTorch(tensors));
    plant("deepspeed/global_step20/zero_pp_rank_0_mp_rank_00_optim_states.pt", "x");
    await expectTensors(at("deepspeed"), "PyTorch (zip)");
    await expectTensors(at("deepspeed", "global_step20"), "PyTorch (zip)");
    plant("deepspeed/latest", "../single");
    expect(await refusal(at("deepspeed"))).toMatch(/without weights, only latest, global_step10\/, global_step20\//);
  });

  test("of several .bin files and their index, and one that torch distributed over processes", async () => {
    const [[first], second] = [[...tensors].slice(0, 1), [...tensors].slice(1)];
    plant("bins/pytorch_model-00001-of-00002.bin", encodeTorch(new Map([first!])));
    plant("bins/pytorch_model-00002-of-00002.bin", encodeTorch(new Map(second)));
    const map = Array.from(tensors.keys(), (name) => [
      name,
      `pytorch_model-0000${name === first![0] ? 1 : 2}-of-00002.bin`,
    ]);
    plant("bins/pytorch_model.bin.index.json", JSON.stringify({ weight_map: Object.fromEntries(map) }));
    await expectTensors(at("bins"), "PyTorch (zip) (2 files)");
    plant("dcp/__0_0.distcp", "PK");
    expect(await refusal(at("dcp"))).toMatch(/found a distributed checkpoint of torch, .*dcp_to_torch/);
  });

  test("without weights, or a pipeline that is not a DiT's or not whole", async () => {
    plant("none/notes.txt", "hello");
    expect(await refusal(at("none"))).toBe(
      `${at("none")}: expected a regular file, found a folder without weights, only notes.txt`,
    );
    plant("other/model_index.json", '{"_class_name":"StableDiffusionPipeline"}');
    expect(await refusal(at("other"))).toMatch(/expected _class_name DiTPipeline, found "StableDiffusionPipeline"/);
    plant("deep/model_index.json", `{"_class_name":${"[".repeat(100_000)}${"]".repeat(100_000)}}`);
    expect(await refusal(at("deep"))).toMatch(/expected _class_name DiTPipeline, found \[\[…\]\]$/);
    plant("half/model_index.json", '{"_class_name":"DiTPipeline"}');
    expect(await refusal(at("half"))).toMatch(/half\/transformer: config\.json is missing/);
  });
});

describe("what is no file of weights is named:", () => {
  test.each<[string, string, RegExp]>([
    [
      "a Git LFS pointer",
      "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
      /LFS pointer.*git lfs pull/,
    ],
    ["a web page", "\n <!DOCTYPE html><html>Not found</html>", /found a web page; .*download the file itself/],
    ["nothing", "", /found an empty file/],
    ["text", "hello, I am a text", /found text that begins "hello, I am a text"/],
    ["other JSON", '{"a":1}', /found text that begins/],
    ["bytes", "\u0001\u0002\u0003", /found bytes that begin 01 02 03/],
  ])("%s", async (_, content, message) => {
    const path = plant("mix-up.pt", content);
    const found = await refusal(path);
    expect(found).toMatch(message);
    expect(found.startsWith(`${path}: expected weights (`)).toBe(true);
  });

  test("a pointer that is called safetensors too", async () => {
    expect(await refusal(plant("lfs.safetensors", "version https://git-lfs.github.com/spec/v1\n"))).toMatch(/LFS/);
    expect(await refusal(plant("cut.safetensors", "abc"))).toMatch(/expected a safetensors file, found only 3 bytes/);
  });

  test.each([
    "malicious",
    "malicious_bare",
    "malicious_eval",
    "malicious_legacy",
    "truncated_plain",
    "truncated_legacy",
  ])("%s", async (name) =>
    expect(await refusal(golden(name))).toMatch(/nothing was executed|bare pickle|is it cut off\?/));
});
