import { expect, test } from "vitest";
import { float32, type NDArray } from "../../../src/array/ndarray.ts";
import type { ImageSet } from "../../../src/data/images/image-set.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { digitNetworkName } from "../../../src/evaluation/features/digit-network.ts";
import type { FeatureNetwork, ImageFeatures } from "../../../src/evaluation/features/extract-features.ts";
import { gaussianStats } from "../../../src/evaluation/metrics/gaussian-stats.ts";
import { type MetricKernels, withMetricKernels } from "../../../src/evaluation/metrics/kernels.ts";
import type { Reference } from "../../../src/evaluation/reference/reference.ts";
import { type ScoreSettings, scoreDefaults } from "../../../src/evaluation/scores/evaluation.ts";
import { scoreImages } from "../../../src/evaluation/scores/score-images.ts";
import { madeUpImages, madeUpNetwork } from "../made-up-images.ts";
import { normalFeatures } from "../metrics/scattered-features.ts";

const engine = cpuEngine({ threads: 1 });
const settings = { ...scoreDefaults, splitSize: 100 };
const size = { height: 4, width: 4 };

const network = (name = "eyes") => madeUpNetwork(() => ({ pooled: [] }), { name });

/** Independent normal numbers about `mean` [n, d]. */
const cloud = (n: number, d: number, mean: number, seed: number) => normalFeatures(n, d, seed, mean);

const referenceOf = async (kernels: MetricKernels, features: NDArray<"float32">): Promise<Reference> => ({
  name: "real",
  network: { name: "eyes", settings: {} },
  count: features.shape[0]!,
  size: [4, 4],
  pooled: await gaussianStats(kernels, features),
  features,
});

interface Case {
  readonly features: ImageFeatures;
  readonly real: NDArray<"float32">;
  readonly classes?: Pick<ImageSet, "labels" | "groups">;
  readonly settings?: Partial<ScoreSettings>;
  readonly change?: (reference: Reference) => Reference;
  readonly network?: FeatureNetwork;
}

const evaluationOf = (one: Case) =>
  withMetricKernels(engine, async (kernels) => {
    const reference = await referenceOf(kernels, one.real);
    return scoreImages({
      ...{ kernels, network: one.network ?? network(), features: one.features },
      images: madeUpImages(one.features.pooled.shape[0]!, () => 0, { name: "drawn", ...size, ...one.classes }),
      settings: { ...settings, ...one.settings },
      reference: one.change?.(reference) ?? reference,
    });
  });

type Scores = Awaited<ReturnType<typeof evaluationOf>>;
const scoreOf = ({ scores }: Scores, key: string) => scores.find((score) => score.key === key);

test("images of the reference itself: distance 0, all inside, every one a copy", async () => {
  const real = cloud(200, 3, 0, 0);
  const found = await evaluationOf({ features: { pooled: real }, real });
  expect(scoreOf(found, "frechet")!.value).toBeCloseTo(0, 9);
  expect(scoreOf(found, "precision")!.value).toBe(1);
  expect(scoreOf(found, "recall")!.value).toBe(1);
  expect(found.memorisation!.suspiciousShare).toBe(1);
  expect(found.memorisation!.closest[0]!.distance).toBe(0);
  expect(found.memorisation!.closest.every(({ sample, reference }) => sample === reference)).toBe(true);
});

test("exact copies are found in a reference that holds images twice", async () => {
  const half = cloud(100, 3, 0, 0);
  const real = float32([...half.data, ...half.data], [200, 3]);
  const found = await evaluationOf({ features: { pooled: half }, real });
  expect(found.memorisation).toMatchObject({ suspiciousShare: 1, medianToReference: 0, medianWithinReference: 0 });
});

test("a cloud that is moved by m in d dimensions has the distance d·m², within three standard errors", async () => {
  const found = await evaluationOf({ features: { pooled: cloud(2000, 3, 2, 1) }, real: cloud(2000, 3, 0, 0) });
  const { value, standardError, name } = scoreOf(found, "frechet")!;
  expect(name).toBe("FID");
  expect(Math.abs(value - 12)).toBeLessThan(3 * standardError!);
  expect(standardError!).toBeGreaterThan(0.05);
  expect(standardError!).toBeLessThan(0.5);
  expect(scoreOf(found, "kernelDistance")!.value).toBeGreaterThan(100);
  expect(found.checks.swapDifference).toBeLessThan(1e-9);
  expect(Math.abs(found.checks.referenceToItself)).toBeLessThan(1e-9);
  expect(found.memorisation!.suspiciousShare).toBeLessThan(0.02);
});

test.each(["labels", "groups"])("errors do not depend on the order of classes that come in turn: %s", async (kind) => {
  const n = 400;
  const labels = Int32Array.from({ length: n }, (_, i) => i % 10);
  const noise = cloud(n, 2, 0, 2).data;
  const pooled = float32(
    noise.map((x, i) => x + 20 * (labels[i >> 1]! % 10)),
    [n, 2],
  );
  const real = cloud(500, 2, 90, 3);
  const inTurn = scoreOf(await evaluationOf({ features: { pooled }, real, classes: { [kind]: labels } }), "frechet")!;
  const order = Array.from(labels.keys()).sort((a, b) => labels[a]! - labels[b]! || a - b);
  const sorted = float32(
    Float32Array.from({ length: 2 * n }, (_, k) => pooled.data[2 * order[k >> 1]! + (k % 2)]!),
    [n, 2],
  );
  const after = scoreOf(
    await evaluationOf({ features: { pooled: sorted }, real, classes: { [kind]: labels.slice().sort() } }),
    "frechet",
  )!;
  expect(after.value).toBeCloseTo(inTurn.value, 6);
  expect(after.standardError).toBeCloseTo(inTurn.standardError!, 6);
  expect(after.standardError! / after.value).toBeLessThan(0.01);
});

test("probabilities give the score of the formula: one sure class each, all equally often, is the number of classes", async () => {
  const n = 200;
  const probabilities = float32(
    Float32Array.from({ length: 4 * n }, (_, k) => (k % 4 === (k >> 2) % 4 ? 1 : 0)),
    [n, 4],
  );
  const found = await evaluationOf({
    features: { pooled: cloud(n, 2, 0, 4), probabilities },
    real: cloud(100, 2, 0, 0),
  });
  expect(scoreOf(found, "inceptionScore")!.value).toBeCloseTo(4, 9);
  expect(scoreOf(found, "inceptionScore")!.detail).toMatch(/^4 classes, 2 splits of up to 100 images/);
  expect(scoreOf(found, "labelAccuracy")).toBeUndefined();
});

const ofDigits = (kind: "labels" | "groups") => {
  const n = 40;
  const probabilities = float32(
    Float32Array.from({ length: 2 * n }, (_, k) => (k % 2 === 0 ? 0.9 : 0.1)),
    [n, 2],
  );
  const digits = network(digitNetworkName);
  return evaluationOf({
    features: { pooled: cloud(n, 2, 0, 4), probabilities },
    ...{ real: cloud(100, 2, 0, 0), network: digits },
    classes: { [kind]: Int32Array.from({ length: n }, (_, i) => (i < 30 ? 0 : 1)) },
    change: (reference) => ({
      ...reference,
      network: { name: digitNetworkName, settings: {} },
      heldOut: cloud(60, 2, 0, 5),
    }),
  });
};

test("the digit classifier's scores have names of their own, and say how many digits are what they should be", async () => {
  const found = await ofDigits("labels");
  expect(found.scores.map(({ name }) => name)).toEqual([
    "FD-digits",
    "FD-digits of real images",
    "classifier score",
    "precision",
    "recall",
    "MMD × 1000",
    "label accuracy",
  ]);
  expect(scoreOf(found, "labelAccuracy")!.value).toBe(0.75);
  expect(found.warnings.join()).toContain("cannot be compared with any FID");
});

test("folders that are no numbers of classes do not say what digits should be", async () => {
  expect(scoreOf(await ofDigits("groups"), "labelAccuracy")).toBeUndefined();
});

test("a reference that is no covariance is warned of, as its distances are wrong", async () => {
  const evaluation = (covariance: number) =>
    evaluationOf({
      features: { pooled: cloud(100, 2, 0, 4) },
      real: cloud(100, 2, 0, 0),
      change: ({ name, pooled }) => ({
        name,
        pooled: { ...pooled, covariance: Float64Array.of(1, covariance, covariance, 1) },
      }),
    });
  expect((await evaluation(2)).warnings.join()).toMatch(/Fréchet distance of -\d\.\d+ to itself, which should be 0/);
  expect((await evaluation(0.9)).warnings.join()).not.toMatch(/to itself/);
});

test("without errors nothing has one, and nothing but errors changes", async () => {
  const one = { features: { pooled: cloud(100, 3, 1, 1), spatial: cloud(100, 2, 0, 6) }, real: cloud(150, 3, 0, 0) };
  const change = (reference: Reference) => ({
    ...reference,
    spatial: { mean: new Float64Array(2), covariance: Float64Array.of(1, 0, 0, 1) },
  });
  const [slow, quick] = [
    await evaluationOf({ ...one, change }),
    await evaluationOf({ ...one, change, settings: { errors: false } }),
  ];
  expect(quick.scores.map(({ key, value }) => [key, value])).toEqual(slow.scores.map(({ key, value }) => [key, value]));
  expect(quick.scores.some(({ standardError }) => standardError !== undefined)).toBe(false);
  expect(scoreOf(slow, "spatialFrechet")!.standardError).toBeGreaterThan(0);
});

test("a reference of statistics alone leaves out what needs single images", async () => {
  const found = await evaluationOf({
    features: { pooled: cloud(100, 3, 1, 1) },
    real: cloud(150, 3, 0, 0),
    change: ({ features: _, network: _network, ...statistics }) => statistics,
  });
  expect(found.scores.map(({ key }) => key)).toEqual(["frechet"]);
  expect(found.memorisation).toBeUndefined();
  expect(found.warnings.join()).toContain("does not say of which network");
});

test("too few images, other features and other sizes are refused", async () => {
  const real = cloud(50, 3, 0, 0);
  await expect(evaluationOf({ features: { pooled: cloud(19, 3, 0, 1) }, real })).rejects.toThrow(
    /at least 20 images.*found 19/,
  );
  const many = { features: { pooled: cloud(30, 3, 0, 1) }, real, settings: { neighbours: 30 } };
  await expect(evaluationOf(many)).rejects.toThrow(/drawn: expected more than 30 images for 30 nearest neighbours/);
  await expect(evaluationOf({ ...many, settings: { neighbours: 4 }, real: real.rows(0, 4) })).rejects.toThrow(
    /real: expected more than 4 images for 4 nearest neighbours \(--neighbours\), found 4/,
  );
  await expect(
    evaluationOf({
      features: { pooled: cloud(30, 3, 0, 1), spatial: cloud(30, 2, 0, 1) },
      real,
      change: (reference) => ({
        ...reference,
        spatial: { mean: new Float64Array(1), covariance: new Float64Array(1) },
      }),
    }),
  ).rejects.toThrow(/expected 2 spatial features as eyes gives, found 1/);
  await expect(evaluationOf({ features: { pooled: cloud(30, 2, 0, 1) }, real })).rejects.toThrow(
    /expected 2 features as eyes gives, found 3/,
  );
  await expect(
    evaluationOf({
      features: { pooled: cloud(30, 3, 0, 1) },
      real,
      change: (reference) => ({ ...reference, size: [5, 4] }),
    }),
  ).rejects.toThrow(/images of 4 × 4 as in drawn, found 5 × 4/);
});
