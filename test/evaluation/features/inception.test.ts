/** Inception-v3 as a feature network: its input, its weights and its features. */

import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { NDArray, stackedRows, zeros } from "../../../src/array/ndarray.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import type { FeatureNetwork, ImageFeatures } from "../../../src/evaluation/features/extract-features.ts";
import {
  compileInception,
  type InceptionResizing,
  inceptionResizings,
  inceptionWeights,
  loadInception,
  openInception,
  writeInceptionInput,
} from "../../../src/evaluation/features/inception.ts";
import { encodeSafetensors } from "../../../src/formats/safetensors-write.ts";
import { encodeTorch } from "../../../src/formats/torch/encode-torch.ts";
import type { StoredTensor } from "../../../src/formats/weight-file.ts";
import { nvidiaNames } from "../../../src/models/inception/weights.ts";
import { fileOf, images, stored } from "../../golden/inception-fixture.ts";

import "../../golden/matchers.ts";

const tolerance = { relative: 1e-5 };

async function open(resize: "tf" | "clean" | "torch"): Promise<FeatureNetwork> {
  const weights = await inceptionWeights({ tensors: fileOf(), path: "inception.pth" });
  return compileInception(cpuEngine(), { weights, sha256: "6726825d…", isPublished: true }, resize);
}

/** Softmax of rows, in float64. */
function probabilities({ shape, data }: NDArray<"float32">): NDArray<"float32"> {
  const result = zeros("float32", shape);
  const classes = shape[1]!;
  for (let row = 0; row < shape[0]!; row++) {
    const own = Array.from(data.subarray(row * classes, (row + 1) * classes));
    const powers = own.map((x) => Math.exp(x - Math.max(...own)));
    const total = powers.reduce((sum, x) => sum + x, 0);
    result.data.set(
      powers.map((x) => x / total),
      row * classes,
    );
  }
  return result;
}

describe("Inception-v3 of FID, on the full architecture with formula weights", () => {
  let network: FeatureNetwork;
  let seen: ImageFeatures;
  beforeAll(async () => {
    network = await open("tf");
    seen = await network.features(images);
  }, 60_000);
  afterAll(() => network.release());

  it("sees the pooled features that PyTorch computes", () => {
    expect(seen.pooled).toMatchGolden(stored("pooled"), tolerance);
  });

  it("sees the spatial features, channels last", () => {
    expect(seen.spatial!).toMatchGolden(stored("spatial"), tolerance);
  });

  it("takes probabilities from logits without bias", () => {
    expect(seen.probabilities!).toMatchGolden(probabilities(stored("logits")), { relative: 1e-4 });
  });

  it("sees in an image the same bits, whichever others are looked at with it", async () => {
    const many = stackedRows([images, images, images]); // two runs, the second padded
    const again = await network.features(many);
    for (const kind of ["pooled", "spatial", "probabilities"] as const) {
      expect(again[kind]!.shape[0]).toBe(9);
      expect(again[kind]!.rows(0, 3)).toEqual(seen[kind]);
      expect(again[kind]!.rows(6, 9)).toEqual(seen[kind]);
    }
    expect((await network.features(images.rows(2, 3))).pooled.data).toEqual(seen.pooled.rows(2, 3).data);
  }, 30_000);

  it("says what changes its numbers", () => {
    expect(network.name).toBe("inception-v3-2015-12-05");
    expect(network.settings).toEqual({ weights: "6726825d…", published: true, resize: "tf" });
  });

  it("refuses what is no image with three channels", async () => {
    await expect(network.features(zeros("uint8", [2, 3, 32, 32]))).rejects.toThrow(
      "Inception-v3 takes images [N, H, W, 3], found [2,3,32,32]",
    );
  });
});

const SIZE = 299;

/** Gray columns as an image of two equal rows, [1, 2, W, 3]. */
const columns = (...values: number[]) => {
  const row = values.flatMap((value) => [value, value, value]);
  return new NDArray("uint8", [1, 2, values.length, 3], Uint8Array.from([...row, ...row]));
};

/** Keys' cubic with a = −1/2, which Pillow takes. */
function cubic(x: number): number {
  const t = Math.abs(x);
  if (t < 1) return 1.5 * t ** 3 - 2.5 * t ** 2 + 1;
  return t < 2 ? -0.5 * t ** 3 + 2.5 * t ** 2 - 4 * t + 2 : 0;
}

/** Column x of `values`, enlarged to 299 by each way's definition, as the network gets it. */
const definitions: { readonly [K in InceptionResizing]: (values: readonly number[], x: number) => number } = {
  tf(values, x) {
    const at = (x * values.length) / SIZE;
    const left = Math.floor(at);
    const right = Math.min(left + 1, values.length - 1);
    return (values[left]! + (at - left) * (values[right]! - values[left]!) - 128) / 128;
  },
  clean(values, x) {
    const centre = ((x + 0.5) * values.length) / SIZE;
    const weights = values.map((_, i) => cubic(i + 0.5 - centre));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const value = weights.reduce((sum, weight, i) => sum + (weight / total) * values[i]!, 0);
    return (Math.min(255, Math.max(0, value)) - 128) / 128;
  },
  torch(values, x) {
    const at = Math.max(0, ((x + 0.5) * values.length) / SIZE - 0.5);
    const left = Math.min(Math.floor(at), values.length - 1);
    const right = Math.min(left + 1, values.length - 1);
    return (2 * (values[left]! + (at - left) * (values[right]! - values[left]!))) / 255 - 1;
  },
};

test.each(inceptionResizings)("%s enlarges as its definition says, beside black and white too", (resizing) => {
  const values = [0, 255, 255, 40, 0, 90];
  const x = zeros("float32", [2, 3, SIZE, SIZE]);
  writeInceptionInput(columns(...values), resizing, x);
  for (const [channel, y] of [
    [0, 0],
    [1, 150],
    [2, 298],
  ] as const) {
    const row = x.data.subarray((channel * SIZE + y) * SIZE, (channel * SIZE + y + 1) * SIZE);
    row.forEach((value, place) => {
      const expected = definitions[resizing](values, place);
      if (!(Math.abs(value - expected) < 1e-5)) expect.fail(`column ${place} is ${value}, expected ${expected}`);
    });
  }
  expect(x.rows(1, 2).data.every((value) => value === 0)).toBe(true); // only as many images as there are
});

test("clean cuts off what the filter puts beyond black and white, as clean-fid does", () => {
  const x = zeros("float32", [1, 3, SIZE, SIZE]);
  writeInceptionInput(columns(0, 255), "clean", x);
  const { data } = x;
  expect([Math.min(...data.subarray(0, SIZE)), Math.max(...data.subarray(0, SIZE))]).toEqual([-1, 127 / 128]);
  expect(data.subarray(0, SIZE).filter((value) => value === -1).length).toBeGreaterThan(20); // it went beyond
});

test("images stand one behind the other, channels first", () => {
  const pixels = new NDArray("uint8", [2, 1, 1, 3], Uint8Array.of(0, 128, 255, 64, 0, 192));
  const x = zeros("float32", [2, 3, SIZE, SIZE]);
  writeInceptionInput(pixels, "tf", x);
  const planes = Array.from({ length: 6 }, (_, plane) => x.data[(plane + 0.5) * SIZE * SIZE - 0.5]);
  expect(planes).toEqual([-1, 0, 127 / 128, -0.5, -1, 0.5]);
});

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
