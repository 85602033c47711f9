import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type NDArray, stackedRows, zeros } from "../../../src/array/ndarray.ts";
import { cpuEngine } from "../../../src/engine/onnx/node-engine.ts";
import type { FeatureNetwork, ImageFeatures } from "../../../src/evaluation/features/extract-features.ts";
import { compileInception, inceptionWeights } from "../../../src/evaluation/features/inception.ts";
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
