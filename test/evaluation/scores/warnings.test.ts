import { expect, test } from "vitest";
import { float32 } from "../../../src/array/ndarray.ts";
import { digitNetworkName } from "../../../src/evaluation/features/digit-network.ts";
import { type WarnedOf, warningsOf } from "../../../src/evaluation/scores/warnings.ts";

const dimension = 4;
const sound: WarnedOf = {
  network: { name: "inception-v3-2015-12-05", settings: { weights: "a", published: true, resize: "tf" } },
  samples: {
    name: "samples.npz",
    count: 50_000,
    isLossy: false,
    origin: { modelFile: { weights: "ema", config: { inChannels: 4 } }, sampling: { cfgScale: 1.5, cfgChannels: 3 } },
  },
  reference: {
    name: "real.npz",
    network: { name: "inception-v3-2015-12-05", settings: { weights: "a", published: true, resize: "tf" } },
    count: 50_000,
    isLossy: false,
    pooled: { mean: new Float64Array(dimension), covariance: new Float64Array(dimension ** 2) },
    features: float32(new Float32Array(10_000), [10_000, 1]),
  },
  checks: { referenceToItself: -1e-3 }, // of singular covariances in float32
  frechet: 2,
  distinct: 49_000,
};

test("samples that are mostly copies are counted", () => {
  const [first, ...others] = warningsOf({ ...sound, distinct: 3 });
  expect(first).toMatch(/^3 of the 50000 samples of samples\.npz differ, .* look for copies, or for a model/);
  expect(others).toEqual([]);
});

test("nothing is said of 50,000 images made and looked at as published ones were", () => {
  expect(warningsOf(sound)).toEqual([]);
});

const { samples, reference, network } = sound;
const drawnWith = (sampling: object, weights = "ema") => ({
  ...samples,
  origin: { modelFile: { weights, config: { inChannels: 4 } }, sampling },
});

const varied = { ...reference, pooled: { mean: new Float64Array(1), covariance: Float64Array.of(5000) } };
const cases: [string, Partial<WarnedOf>, RegExp][] = [
  ["few samples", { samples: { ...samples, count: 10_000 } }, /^10000 samples: published FIDs are of 50000/],
  ["fewer samples than features", { samples: { ...samples, count: 4 } }, /4 samples of 4 features: .* full rank/],
  ["a small reference", { reference: { ...reference, count: 4 } }, /reference has 4 images for 4 features/],
  [
    "few kept features",
    { reference: { ...reference, features: float32([0], [1, 1]) } },
    /50000 samples with 1 reference images/,
  ],
  [
    "few samples for the features that are kept",
    { samples: { ...samples, count: 900 } },
    /compare 900 samples with 10000 reference images/,
  ],
  [
    "a reference that is away from itself",
    { checks: { referenceToItself: -3.21111 } },
    /^the reference has a Fréchet distance of -3\.21 to itself/,
  ],
  [
    "a reference that is away from itself by more than rounding, for images of the reference itself",
    { reference: varied, checks: { referenceToItself: 6e-3 }, frechet: 6e-3 },
    /distance of 0\.00600 to itself/,
  ],
  ["digits", { network: { name: digitNetworkName, settings: { weights: "a" } } }, /cannot be compared with any FID/],
  [
    "other weights of the network",
    { network: { ...network, settings: { ...network.settings, published: false } } },
    /not pytorch-fid's file/,
  ],
  [
    "another way of resizing",
    { network: { ...network, settings: { ...network.settings, resize: "clean" } } },
    /resized in the way "clean"/,
  ],
  [
    "weights of two files",
    { network: { ...network, settings: { ...network.settings, weights: "b" } } },
    /another file of weights/,
  ],
  [
    "a reference that says nothing",
    { reference: { ...reference, network: undefined } as never },
    /does not say of which network/,
  ],
  ["class folders of other numbers", { samples: { ...samples, notes: ["7 is class 0"] } }, /^7 is class 0$/],
  ["lossy samples", { samples: { ...samples, isLossy: true } }, /samples were stored in a lossy format/],
  ["a lossy reference", { reference: { ...reference, isLossy: true } }, /reference is of lossy images/],
  [
    "unknown samples",
    { samples: { name: "x", count: 50_000, isLossy: false } },
    /nothing is known of how the samples were made/,
  ],
  ["raw weights", { samples: drawnWith({ cfgScale: 1 }, "raw") }, /raw weights; published numbers are of averaged/],
  ["all channels guided", { samples: drawnWith({ cfgScale: 1.5, cfgChannels: 4 }) }, /--cfg-channels 3/],
];

test.each(cases)("%s", (_, change, message) => {
  expect(warningsOf({ ...sound, ...change }).join("\n")).toMatch(message);
});

test("a distance of next to nothing may be rounding", () => {
  expect(warningsOf({ ...sound, reference: varied, checks: { referenceToItself: 4e-3 }, frechet: 4e-3 })).toEqual([]);
});

test("no guidance, no warning of its channels", () => {
  expect(warningsOf({ ...sound, samples: drawnWith({ cfgScale: 1, cfgChannels: 4 }) })).toEqual([]);
});
