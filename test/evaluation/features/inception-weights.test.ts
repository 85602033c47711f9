import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { NDArray } from "../../../src/array/ndarray.ts";
import { cpuEngine } from "../../../src/engine/onnx/node-engine.ts";
import { inceptionWeights, loadInception, openInception } from "../../../src/evaluation/features/inception.ts";
import { encodeSafetensors } from "../../../src/formats/safetensors-write.ts";
import { encodeTorch } from "../../../src/formats/torch/encode-torch.ts";
import type { StoredTensor } from "../../../src/formats/weight-file.ts";
import { nvidiaNames } from "../../../src/models/inception/weights.ts";
import { fileOf } from "../../golden/inception-fixture.ts";

const folder = mkdtempSync(join(tmpdir(), "inception-"));
afterAll(() => rmSync(folder, { recursive: true }));

const path = "inception.pth";
const counter = (name: string): [string, StoredTensor] => [
  name,
  { name, dtype: "int64", shape: [], read: async () => new NDArray("int64", [], BigInt64Array.of(7n)) },
];

/** The same weights in NVIDIA's names; gains are lost. */
function nvidias(): Map<string, StoredTensor> {
  const file = fileOf();
  return new Map(Array.from(nvidiaNames(), ([ours, theirs]) => [theirs, { ...file.get(ours)!, name: theirs }]));
}

/** The same weights in torchvision's names with gains of 1. */
function withoutGains(): Map<string, StoredTensor> {
  const ones = (n: number) => new NDArray("float32", [n], new Float32Array(n).fill(1));
  return new Map(
    Array.from(fileOf(), ([name, x]) => [
      name,
      name.endsWith("bn.weight") ? { ...x, read: async () => ones(x.shape[0]!) } : x,
    ]),
  );
}

describe("weights of Inception-v3", () => {
  it("are the same in NVIDIA's names and in torchvision's where gains are 1", async () => {
    const theirs = await inceptionWeights({ tensors: nvidias(), path });
    const ours = await inceptionWeights({ tensors: withoutGains(), path });
    expect(theirs.size).toBe(2 * 94 + 1);
    for (const [name, { shape, data }] of ours) {
      const found = theirs.get(name)!;
      expect(found.shape, name).toEqual(shape);
      expect(Buffer.compare(Buffer.from(found.data.buffer), Buffer.from(data.buffer)), name).toBe(0);
    }
  });

  it("may stand beside counters of batches", async () => {
    const tensors = new Map([...fileOf(), counter("Conv2d_1a_3x3.bn.num_batches_tracked")]);
    expect((await inceptionWeights({ tensors, path })).size).toBe(2 * 94 + 1);
  });

  it("are refused with all that does not fit in one sentence, in the names of the file", async () => {
    const tensors = nvidias();
    tensors.delete("layers.mixed_6.conv.var");
    tensors.set("layers.extra", { ...tensors.get("layers.conv.beta")!, name: "layers.extra" });
    tensors.set("output.bias", { ...tensors.get("output.bias")!, shape: [1000] });
    await expect(inceptionWeights({ tensors, path })).rejects.toThrow(
      "inception.pth (expected Inception-v3 of 2015-12-05) does not fit the model: " +
        "missing (1): layers.mixed_6.conv.var [192]; unexpected (1): layers.extra [32]; " +
        "misshaped (1): output.bias expects [1008], file has [1000]",
    );
  });

  it("of torchvision's own network, with 1000 classes and another classifier beside, are refused", async () => {
    const shapes = { ...Object.fromEntries(Array.from(fileOf(), ([name, x]) => [name, x.shape])) };
    const tensors = fileOf({ ...shapes, "fc.weight": [1000, 2048], "fc.bias": [1000], "AuxLogits.fc.bias": [1000] });
    await expect(inceptionWeights({ tensors, path })).rejects.toThrow(
      /unexpected \(1\): AuxLogits\.fc\.bias \[1000\]; misshaped \(2\): fc\.weight/,
    );
  });

  it("are read from a file of torch.save, whose hash is said", async () => {
    const file = join(folder, "weights.pth");
    const values = new Map<string, NDArray>();
    for (const [name, x] of fileOf()) values.set(name, await x.read());
    const bytes = Buffer.concat([...encodeTorch(values)]);
    writeFileSync(file, bytes);
    const { weights, sha256, isPublished } = await loadInception(file);
    expect(sha256).toBe(createHash("sha256").update(bytes).digest("hex"));
    expect(isPublished).toBe(false);
    const inMemory = await inceptionWeights({ tensors: fileOf(), path });
    expect(weights.get("Mixed_7c.branch_pool.bias")).toEqual(inMemory.get("Mixed_7c.branch_pool.bias"));
    rmSync(file);
  });

  it("of another model in a file are refused by its path", async () => {
    const file = join(folder, "other.safetensors");
    const tensors = new Map([["w", new NDArray("float32", [1], Float32Array.of(1))]]);
    writeFileSync(file, Buffer.concat([...encodeSafetensors(tensors)]));
    await expect(openInception(cpuEngine(), { weights: file })).rejects.toThrow(/other\.safetensors .*missing \(472\)/);
  });
});
