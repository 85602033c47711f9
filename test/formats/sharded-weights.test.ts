import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { float32, int32, type NDArray } from "../../src/array/ndarray.ts";
import { uniforms } from "../../src/array/random.ts";
import { encodeSafetensors } from "../../src/formats/safetensors.ts";
import { planShards, streamSafetensors, type WritableTensor } from "../../src/formats/safetensors-write.ts";
import { openShardedWeights, parseShardIndex } from "../../src/formats/sharded-weights.ts";
import { type ByteSource, bytesInMemory } from "../../src/formats/weight-file.ts";

/** Sizes of 8, 16, 24, 4, 4 bytes, in an order that is not alphabetical, with names that objects would lose. */
const arrays: readonly (readonly [string, NDArray])[] = [
  ["x_embedder.weight", float32([1, 2])],
  ["blocks.0.w", float32([3, 4, 5, 6], [2, 2])],
  ["10", float32([7, 8, 9, 10, 11, 12])],
  ["__proto__", int32([13])],
  ["2", float32([14])],
];
const stored = arrays.map(
  ([name, array]): WritableTensor => ({ name, dtype: array.dtype, shape: array.shape, read: async () => array }),
);

/** Files of a plan, by name, and the index. */
async function written(shardBytes: number, metadata: Record<string, string> = {}) {
  const plan = planShards(stored, shardBytes);
  const files = new Map<string, Uint8Array>();
  for (const { name, tensors } of plan.shards) {
    const parts: Uint8Array[] = [];
    for await (const chunk of streamSafetensors(tensors, metadata)) parts.push(chunk);
    files.set(name, new Uint8Array(Buffer.concat(parts)));
  }
  return { plan, files, index: plan.index?.text ?? "" };
}

const opener =
  (files: ReadonlyMap<string, Uint8Array>) =>
  async (name: string): Promise<ByteSource> => {
    const bytes = files.get(name);
    if (!bytes) throw new InputError(`no file ${name}`);
    return bytesInMemory(bytes, name);
  };

const file = (tensors: Record<string, NDArray>, metadata: Record<string, string> = {}) =>
  new Uint8Array(Buffer.concat([...encodeSafetensors(new Map(Object.entries(tensors)), metadata)]));

describe("planning shards", () => {
  test("fills files in the given order up to the limit; a tensor above the limit stands alone", () => {
    const plan = planShards(stored, 20);
    expect(plan.shards.map(({ tensors, byteLength }) => [tensors.map(({ name }) => name), byteLength])).toEqual([
      [["x_embedder.weight"], 8],
      [["blocks.0.w"], 16],
      [["10"], 24],
      [["__proto__", "2"], 8],
    ]);
    expect(plan.shards[1]!.name).toBe("model-00002-of-00004.safetensors");
    expect(plan.index!.name).toBe("model.safetensors.index.json");
    expect(planShards(stored, 24).shards.map(({ byteLength }) => byteLength)).toEqual([24, 24, 8]);
  });

  test("what fits in one file needs no index", () => {
    expect(planShards(stored)).toEqual({ shards: [{ name: "model.safetensors", tensors: stored, byteLength: 56 }] });
    const [shard] = planShards(stored, 56, "diffusion_pytorch_model").shards;
    expect(shard!.name).toBe("diffusion_pytorch_model.safetensors");
    expect(planShards([]).shards.length).toBe(1);
  });

  test("the index is that of Hugging Face", () => {
    const [a, b] = [stored[0]!, stored[1]!];
    expect(JSON.parse(planShards([a, b], 1).index!.text)).toEqual({
      metadata: { total_size: 24 },
      weight_map: {
        "blocks.0.w": "model-00002-of-00002.safetensors",
        "x_embedder.weight": "model-00001-of-00002.safetensors",
      },
    });
  });

  test("a name twice, and a limit that is none, are mistakes of the caller", () => {
    expect(() => planShards([...stored, stored[0]!])).toThrow(/two tensors are called "x_embedder.weight"/);
    for (const limit of [0, -1, Number.NaN]) expect(() => planShards(stored, limit)).toThrow(RangeError);
  });
});

describe("reading shards", () => {
  test("every tensor comes back, whatever the size of the files", async () => {
    for (const shardBytes of [1, 20, 24, 50]) {
      const { files, index } = await written(shardBytes, { tinyfusion: "{}" });
      const weights = await openShardedWeights(index, opener(files));
      expect(weights.format).toBe(`safetensors (${files.size} files)`);
      expect(weights.notes).toEqual([]);
      expect({ ...weights.metadata }).toEqual({ tinyfusion: "{}" });
      expect([...weights.tensors.keys()].sort()).toEqual(arrays.map(([name]) => name).sort());
      for (const [name, array] of arrays) expect(await weights.tensors.get(name)!.read()).toEqual(array);
    }
  });

  test("only headers are read at first, and places lead into the right file", async () => {
    const { files, index } = await written(20);
    let read = 0;
    const weights = await openShardedWeights(index, async (name) => {
      const source = await opener(files)(name);
      return { ...source, read: (offset, length) => source.read(offset, length).finally(() => (read += length)) };
    });
    const headers = [...files.values()].reduce((sum, bytes) => sum + bytes.length, 0) - 56;
    expect(read).toBe(headers + 8 * files.size);
    const location = weights.tensors.get("10")!.location!;
    expect(location.source.name).toBe("model-00003-of-00004.safetensors");
    expect(await location.source.read(location.offset, location.byteLength)).toEqual(
      new Uint8Array(arrays[2]![1].data.buffer),
    );
  });

  test("a wrong total size and other metadata in one file are only noted", async () => {
    const files = new Map([
      ["a.safetensors", file({ a: float32([1]) }, { format: "pt" })],
      ["b.safetensors", file({ b: float32([2]) }, { format: "np" })],
    ]);
    const index = { metadata: { total_size: 9 }, weight_map: { a: "a.safetensors", b: "b.safetensors" } };
    const weights = await openShardedWeights(JSON.stringify(index), opener(files));
    expect(weights.notes).toEqual([
      'b.safetensors says another "format" than the files before',
      "total_size is 9, the tensors have 8 bytes",
    ]);
    expect(weights.metadata.format).toBe("pt");
    const bare = await openShardedWeights(JSON.stringify({ weight_map: index.weight_map }), opener(files));
    expect(bare.notes.length).toBe(1);
  });
});

const map = (weightMap: unknown, metadata?: unknown) => JSON.stringify({ metadata, weight_map: weightMap });

describe("hostile indexes get one clear error", () => {
  test.each<[string, string, RegExp]>([
    ["no JSON", "{", /not valid JSON/],
    ["a list", "[]", /expected an object with weight_map, found \[\]/],
    ["no weight_map", "{}", /expected weight_map/],
    ["a weight_map that is a list", map(["a"]), /expected weight_map/],
    ["an empty weight_map", map({}), /names no tensors/],
    ["metadata that is text", map({ a: "a.safetensors" }, "x"), /metadata must be an object/],
    ["a tensor twice", '{"weight_map":{"a":"a.safetensors","\\u0061":"b.safetensors"}}', /names "a" twice/],
    ["a file that is a number", map({ a: 1 }), /tensor "a": expected the name of a .safetensors file.* found 1$/],
    ["a folder", map({ a: "x/a.safetensors" }), /without a folder, found "x\/a.safetensors"/],
    ["a folder on Windows", map({ a: "x\\a.safetensors" }), /without a folder/],
    ["a folder above", map({ a: "../a.safetensors" }), /without a folder, found "..\/a.safetensors"/],
    ["the folder above itself", map({ a: ".." }), /found ".."/],
    ["an absolute path", map({ a: "/etc/a.safetensors" }), /without a folder/],
    ["a drive", map({ a: "C:a.safetensors" }), /without a folder/],
    ["a zero byte", map({ a: "a\0.safetensors" }), /without a folder/],
    ["another kind of file", map({ a: "a.pt" }), /expected the name of a .safetensors file/],
    ["a very long name", map({ a: `${"n".repeat(1e5)}.safetensors` }), /found "n{100}"…/],
    ["a nested file", map({ a: { b: 1 } }), /found \{…\}/],
  ])("%s", async (_name, text, message) => {
    let opened = 0;
    const reading = openShardedWeights(
      text,
      async (name) => {
        opened += 1;
        return bytesInMemory(file({ a: float32([1]) }), name);
      },
      "x.index.json",
    );
    const error = await reading.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toMatch(/^x\.index\.json: /);
    expect((error as Error).message.length).toBeLessThan(400);
    expect(opened).toBe(0);
  });

  const two = new Map([
    ["a.safetensors", file({ a: float32([1]), shared: float32([2]) })],
    ["b.safetensors", file({ b: float32([3]), shared: float32([4]) })],
  ]);
  test.each<[string, object, RegExp]>([
    [
      "a tensor that its file lacks",
      { a: "a.safetensors", shared: "a.safetensors", c: "a.safetensors" },
      /tensor "c" is missing in a.safetensors/,
    ],
    [
      "a tensor that the index lacks",
      { a: "a.safetensors" },
      /a.safetensors holds tensor "shared", which is not in the index/,
    ],
    [
      "a tensor in two files",
      { a: "a.safetensors", b: "b.safetensors", shared: "a.safetensors" },
      /b.safetensors holds tensor "shared", which the index places in a.safetensors/,
    ],
    ["a file that is not there", { c: "c.safetensors" }, /no file c.safetensors/],
  ])("%s", async (_name, weightMap, message) => {
    const reading = openShardedWeights(map(weightMap), opener(two));
    await expect(reading).rejects.toThrow(InputError);
    await expect(reading).rejects.toThrow(message);
  });

  test("metadata of null is none, and a type that is not read keeps nobody from the others", async () => {
    const header = new TextEncoder().encode('{"n":{"dtype":"U32","shape":[1],"data_offsets":[0,4]}}');
    const foreign = new Uint8Array(8 + header.length + 4);
    new DataView(foreign.buffer).setBigUint64(0, BigInt(header.length), true);
    foreign.set(header, 8);
    const files = new Map([
      ["a.safetensors", file({ a: float32([1]) })],
      ["n.safetensors", foreign],
    ]);
    const index = JSON.stringify({
      metadata: null,
      weight_map: { a: "a.safetensors", n: "n.safetensors" },
    });
    const { tensors, unreadable, notes } = await openShardedWeights(index, opener(files));
    expect([[...tensors.keys()], [...unreadable.keys()], notes]).toEqual([["a"], ["n"], []]);
  });

  test("the prototype of objects is no place for a tensor", () => {
    const index = parseShardIndex('{"weight_map":{"__proto__":"a.safetensors","constructor":"b.safetensors"}}');
    expect([...index.fileOf]).toEqual([
      ["__proto__", "a.safetensors"],
      ["constructor", "b.safetensors"],
    ]);
  });

  test("thousands of mutations give only an InputError or all tensors", async () => {
    const { files, index } = await written(20, { note: "x" });
    const characters = '0123456789-./\\e"{}[]:,_as';
    let refused = 0;
    const rounds = 3000;
    for (let round = 0; round < rounds; round++) {
      const draw = uniforms({ seed: 5, purpose: "index fuzz", step: 0, index: round }, 16);
      const text = [...(draw[0]! < 0.1 ? index.slice(0, draw[1]! * index.length) : index)];
      for (let i = 2; i < 2 + 3 * Math.ceil(draw[15]! * 3); i += 3) {
        const at = Math.floor(draw[i]! * text.length);
        const wild = Math.floor(draw[i + 1]! * characters.length);
        text.splice(at, draw[i + 2]! < 0.7 ? 1 : 0, characters[wild]!);
      }
      try {
        const weights = await openShardedWeights(text.join(""), opener(files));
        expect([...weights.tensors.keys()].sort()).toEqual(arrays.map(([name]) => name).sort());
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(rounds / 2);
    expect(refused).toBeLessThan(rounds);
  });
});
