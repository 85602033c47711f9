/** Model files: what comes back from them, and what each damaged one says. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { float32, int32, type NDArray, NDArray as Values, zeros } from "../../src/array/ndarray.ts";
import { float16ToFloat32, float32ToFloat16 } from "../../src/formats/float16.ts";
import { encodeSafetensors } from "../../src/formats/safetensors.ts";
import type { DiTConfig } from "../../src/models/dit/config.ts";
import { RunFolder } from "../../src/training/run-folder.ts";
import { loadModel, type ModelFacts, openModel, saveModel, weightSpecs } from "../../src/weights/model-file.ts";
import { countNonFinite } from "../../src/weights/output-files.ts";
import { awakeWeights, tinyModel } from "../training/tiny.ts";

const folder = mkdtempSync(join(tmpdir(), "tinyfusion-model-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

const model = tinyModel();
const weights = awakeWeights(weightSpecs(model));
const facts: ModelFacts = {
  weights: "ema",
  images: 12_345,
  process: { kind: "gaussian", schedule: "squaredcos_cap_v2", steps: 500 },
  prunings: [{ parent: "ab".repeat(32), parentDepth: 4, kept: [0, 3], groups: "1:2,1:2", layerMap: [[0, 1]] }],
};
await saveModel(at("good.safetensors"), model, weights, facts);

/** The error of loading, whose message is one sentence for people. */
async function refusal(path: string, given?: typeof model): Promise<string> {
  try {
    await loadModel(path, given);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as InputError).message;
  }
  throw new Error(`${path} was accepted`);
}

/** A file of these weights with this description. */
function plant(name: string, tensors: ReadonlyMap<string, NDArray>, description?: string): string {
  const metadata: Record<string, string> = description === undefined ? {} : { tinyfusion: description };
  writeFileSync(at(name), Buffer.concat([...encodeSafetensors(tensors, metadata)]));
  return at(name);
}

describe("a model file", () => {
  it("gives back weights bit for bit, configuration, facts and its own hash", async () => {
    const file = await loadModel(at("good.safetensors"));
    expect(new Map([...file.tensors].sort())).toEqual(new Map([...weights].sort()));
    expect(file.model.config).toEqual(model.config);
    const { weights: kind, images, prunings, process } = file;
    expect({ weights: kind, images, prunings, process }).toEqual(facts);
    expect(file.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect((await loadModel(at("good.safetensors"))).sha256).toBe(file.sha256);
  });

  it("is the same file when it is written again, and another hash when one bit differs", async () => {
    await saveModel(at("again.safetensors"), model, weights, facts);
    expect(readFileSync(at("again.safetensors"))).toEqual(readFileSync(at("good.safetensors")));
    const [name, value] = [...weights][0]!;
    const other = value.data.slice();
    other[0]! += 1;
    await saveModel(at("other.safetensors"), model, new Map([...weights, [name, float32(other, value.shape)]]), facts);
    const hashes = [await loadModel(at("other.safetensors")), await loadModel(at("good.safetensors"))];
    expect(hashes[0]!.sha256).not.toBe(hashes[1]!.sha256);
  });

  it("in float16 has half the size and the nearest halves", async () => {
    await saveModel(at("half.safetensors"), model, weights, facts, true);
    const [half, whole] = [at("half.safetensors"), at("good.safetensors")].map((path) => statSync(path).size);
    expect(half! / whole!).toBeLessThan(0.6);
    const file = await loadModel(at("half.safetensors"));
    expect(file.images).toBe(facts.images);
    for (const [name, { data }] of weights) {
      expect(file.tensors.get(name)!.dtype).toBe("float32");
      expect(file.tensors.get(name)!.data, name).toEqual(float16ToFloat32(float32ToFloat16(data)));
    }
  });

  it("without our metadata needs to be told its model", async () => {
    const path = plant("foreign.safetensors", weights);
    const message = await refusal(path);
    expect(message).toContain(
      `${path} does not say what model it is, and no preset has its names and shapes; its weights are like DiT-Digits but for `,
    );
    expect(message).toContain(`hiddenSize ${(model.config as DiTConfig).hiddenSize} instead of 64`);
    expect(message).toContain("into a file and give that with `modelConfig`");
    expect(await loadModel(path, model)).toMatchObject({ weights: "raw", images: 0, prunings: [] });
  });
});

describe("what a person should know", () => {
  it("weights that are no numbers, by name and count", async () => {
    const wrong = new Map(Array.from(weights, ([name, x]) => [name, float32(x.data.slice(), x.shape)] as const));
    wrong.get("final_layer.linear.bias")!.data.set([Number.NaN, 1, Number.POSITIVE_INFINITY, Number.NaN]);
    wrong.get("blocks.1.mlp.fc1.bias")!.data[3] = Number.NEGATIVE_INFINITY;
    const path = plant("not-finite.safetensors", wrong, JSON.stringify({ config: model.config, ...facts }));
    const { notes } = await openModel(path);
    expect(notes).toHaveLength(1);
    expect(notes[0]).toMatch(/^\S+not-finite\.safetensors has weights that are not finite: /);
    expect(notes[0]).toContain("final_layer.linear.bias (2 NaN, 1 infinite)");
    expect(notes[0]).toContain("blocks.1.mlp.fc1.bias (1 infinite)");
    expect((await openModel(at("good.safetensors"))).notes).toEqual([]);
  });

  it("halves that are no numbers are counted by their bits", () => {
    const halves = (dtype: "float16" | "bfloat16", bits: readonly number[]) =>
      countNonFinite(new Values(dtype, [bits.length], Uint16Array.from(bits)));
    expect(halves("float16", [0x7c00, 0xfc00, 0x7c01, 0x7bff, 0x3c00, 0x8000])).toEqual({ nan: 1, infinite: 2 });
    expect(halves("bfloat16", [0x7f80, 0xff81, 0x7f7f, 0x7c00])).toEqual({ nan: 1, infinite: 1 });
    expect(countNonFinite(int32([1, -1]))).toEqual({ nan: 0, infinite: 0 });
  });

  it("weights that were asked for and are not there", async () => {
    await expect(openModel(at("good.safetensors"), undefined, { wanted: "model" })).rejects.toThrow(
      /good\.safetensors holds the moving average of weights and no others/,
    );
    expect(await openModel(at("good.safetensors"), undefined, { wanted: "ema" })).toMatchObject({ weights: "ema" });
  });
});

describe("weights that do not fit", () => {
  it("are all named together: missing, unexpected and misshaped", async () => {
    const wrong = new Map<string, NDArray>(weights);
    wrong.delete("blocks.0.attn.qkv.bias");
    wrong.delete("final_layer.linear.weight");
    wrong.set("blocks.7.attn.qkv.bias", zeros("float32", [48]));
    wrong.set("blocks.1.mlp.fc1.weight", zeros("float32", [64, 15]));
    wrong.set("pos_embed", zeros("float32", [4, 16]));
    const path = plant("misfit.safetensors", wrong, JSON.stringify({ config: model.config, ...facts }));
    expect(await refusal(path)).toBe(
      `${path} does not fit the model: ` +
        "missing (2): blocks.0.attn.qkv.bias [48], final_layer.linear.weight [32,16]; " +
        "unexpected (1): blocks.7.attn.qkv.bias [48]; " +
        "misshaped (2): blocks.1.mlp.fc1.weight expects [64,16], file has [64,15], " +
        "pos_embed expects [1,4,16], file has [4,16]",
    );
  });

  it("are named up to a dozen of each kind", async () => {
    const path = plant("nothing.safetensors", new Map(), JSON.stringify({ config: model.config, ...facts }));
    const message = await refusal(path);
    expect(message).toMatch(/missing \(\d+\): .*, \S+ \[[\d,]+\] and \d+ more$/);
    expect(message.match(/ \[[\d,]+\]/g)).toHaveLength(12);
  });

  it("are refused if they are whole numbers", async () => {
    const wrong = new Map<string, NDArray>([...weights, ["blocks.0.attn.proj.bias", int32(new Int32Array(16))]]);
    const path = plant("whole.safetensors", wrong, JSON.stringify({ config: model.config, ...facts }));
    expect(await refusal(path)).toMatch(/blocks\.0\.attn\.proj\.bias .*int32/);
  });
});

describe("a damaged description is refused with the file's name:", () => {
  const config = model.config;
  const damaged: Readonly<Record<string, readonly [string, RegExp]>> = {
    "not JSON": ["{config", /not JSON/],
    nothing: ["null", /model configuration|metadata/],
    "a list": ["[]", /model configuration|metadata/],
    "no configuration": ["{}", /model configuration/],
    "an unknown family": [JSON.stringify({ config: { ...config, family: "vit" } }), /unknown family "vit"/],
    "a field of the wrong kind": [JSON.stringify({ config: { ...config, depth: "two" } }), /depth: /],
    "sizes that do not divide": [JSON.stringify({ config: { ...config, numHeads: 3 } }), /multiple of numHeads/],
    "a depth that its weights do not have": [
      JSON.stringify({ config: { ...config, depth: 3 } }),
      /missing \(10\): blocks\.2/,
    ],
    "images that are no count": [JSON.stringify({ config, images: "many" }), /images/],
    "weights of an unknown kind": [JSON.stringify({ config, weights: "best" }), /weights/],
    "an unknown diffusion process": [
      JSON.stringify({ config, process: { kind: "gaussian", schedule: "cubic", steps: 10 } }),
      /linear.*squ/,
    ],
    "a process of no steps": [
      JSON.stringify({ config, process: { kind: "gaussian", schedule: "linear", steps: 0 } }),
      /process .*steps: /,
    ],
    "a process that is a word": [JSON.stringify({ config, process: "linear" }), /process/],
    "a past that is no list": [JSON.stringify({ config, prunings: 3 }), /prunings/],
    ...Object.fromEntries(
      Object.entries({
        "no kept blocks": { kept: [] },
        "kept blocks beyond the parent": { kept: [0, 4] },
        "a block kept twice": { kept: [0, 0] },
        "more kept blocks than the model has": { kept: [0, 1, 3] },
        "groups that are no text": { groups: 12 },
        "a pair of three": { layerMap: [[0, 1, 2]] },
        "a pair beyond the student": { layerMap: [[2, 1]] },
        "a pair beyond the teacher": { layerMap: [[0, 4]] },
        "a pair of fractions": { layerMap: [[0, 0.5]] },
      }).map(([title, wrong]) => [
        `a past with ${title}`,
        [JSON.stringify({ config, prunings: [{ ...facts.prunings[0], ...wrong }] }), /prunings/] as const,
      ]),
    ),
    "a past without kept blocks": [JSON.stringify({ config, prunings: [{ parent: "00" }] }), /prunings/],
  };

  it.each(Object.keys(damaged))("%s", async (title) => {
    const [description, reason] = damaged[title]!;
    const path = plant("damaged.safetensors", weights, description);
    const message = await refusal(path);
    expect(message).toMatch(reason);
    expect(message).toContain(path);
  });
});

it("a truncated file and a missing file are refused by name", async () => {
  writeFileSync(at("short.safetensors"), readFileSync(at("good.safetensors")).subarray(0, 5000));
  expect(await refusal(at("short.safetensors"))).toContain(at("short.safetensors"));
  expect(await refusal(at("nowhere.safetensors"))).toMatch(/nowhere\.safetensors.*no such file/);
});

describe("a file beyond 2 GiB, which cannot be read whole,", () => {
  /** A header that is right, then zeros that take no room on the disk. */
  function plantSparse(path: string, header: string, size: number): void {
    const first = Buffer.alloc(8);
    first.writeBigUInt64LE(BigInt(header.length));
    writeFileSync(path, Buffer.concat([first, Buffer.from(header)]));
    truncateSync(path, 8 + header.length + size);
  }
  const size = 2 ** 31 + 8;

  it("is looked at as a model before its tensors are read", async () => {
    plantSparse(at("huge.safetensors"), `{"huge":{"dtype":"U8","shape":[${size}],"data_offsets":[0,${size}]}}`, size);
    expect(await refusal(at("huge.safetensors"), model)).toMatch(/does not fit the model: .*unexpected \(1\): huge/);
  });

  it("is read tensor by tensor when a run is resumed", async () => {
    const folder = RunFolder.open(at("run"));
    mkdirSync(at("run/checkpoints/step-00000001"));
    writeFileSync(at("run/checkpoints/step-00000001/state.json"), '{"step":1}'); // as before there were checksums
    const header = '{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}';
    plantSparse(at("run/checkpoints/step-00000001/weights.safetensors"), header, size);
    await expect(folder.latest()).rejects.toThrow(`${size - 8} unused bytes after tensor "a"`);
    folder.close();
  });
});
