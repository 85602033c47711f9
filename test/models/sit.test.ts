import { expect, test } from "vitest";
import { input, mul } from "../../src/graph/build.ts";
import { printGraph } from "../../src/graph/print.ts";
import { preset, presets } from "../../src/models/presets.ts";
import { modelOf } from "../../src/models/registry.ts";
import { type SiTConfig, sitFamily } from "../../src/models/sit.ts";
import { Params } from "../../src/nn/params.ts";
import { runOnly } from "../../src/nn/run-block.ts";

const tiny = {
  family: "sit",
  inputSize: 8,
  patchSize: 2,
  inChannels: 3,
  hiddenSize: 16,
  depth: 3,
  numHeads: 2,
  numClasses: 4,
};
const inputs = () => ({ x: input("x", [2, 3, 8, 8]), t: input("t", [2]), y: input("y", [2], "int32") });

test("a SiT is found by its family and predicts as many channels as it reads", () => {
  const { family, config } = modelOf(tiny);
  expect(family.name).toBe("sit");
  expect(config).toEqual({ ...tiny, mlpRatio: 4, learnSigma: true, timeScale: 1 });
  for (const learnSigma of [true, false]) {
    const p = new Params();
    const output = sitFamily.predict(p, sitFamily.parse({ ...tiny, learnSigma }), inputs());
    expect(output.shape).toEqual([2, 3, 8, 8]);
    const rows = p.tensor("final_layer.linear.weight").shape[0];
    expect(rows).toBe(4 * 3 * (learnSigma ? 2 : 1));
  }
});

test("a SiT runs its blocks by number, and keeps as many as it is told", () => {
  const p = new Params();
  sitFamily.predict(p, sitFamily.parse(tiny), inputs(), runOnly([0, 2]));
  const blocks = new Set(p.specs().flatMap(({ name }) => /^blocks\.\d+/.exec(name) ?? []));
  expect([...blocks]).toEqual(["blocks.0", "blocks.2"]);
  const config = sitFamily.parse(tiny);
  expect(sitFamily.blockScopes(config)).toEqual(["blocks.0", "blocks.1", "blocks.2"]);
  expect(sitFamily.keep(config, [0, 2])).toEqual({ ...config, depth: 2 });
});

test("a SiT that counts time to 1000 at t is one that counts to 1 at 1000 t", () => {
  const io = inputs();
  const p = new Params();
  const [scaled, plain] = [1000, 1].map((timeScale) => sitFamily.parse({ ...tiny, timeScale })) as [
    SiTConfig,
    SiTConfig,
  ];
  const counted = sitFamily.predict(p, scaled, io);
  const told = sitFamily.predict(p, plain, { ...io, t: mul(io.t, 1000) });
  expect(printGraph({ outputs: { out: counted } })).toBe(printGraph({ outputs: { out: told } }));
});

test("a wrong configuration is refused with the name of the field", () => {
  expect(() => modelOf({ ...tiny, patchSize: 3 })).toThrow(/multiple of patchSize/);
  expect(() => modelOf({ ...tiny, colour: 1 })).toThrow(/colour/);
  expect(() => modelOf({ ...tiny, hiddenSize: "16" })).toThrow(/hiddenSize/);
  expect(() => sitFamily.parse({ ...tiny, family: "dit" })).toThrow(/sit/);
});

test("the presets have the sizes of the paper", () => {
  for (const size of ["S", "B", "L", "XL"]) {
    for (const patch of [2, 4, 8]) {
      const { family: _, ...body } = presets.get(`DiT-${size}/${patch}`)!;
      expect(presets.get(`SiT-${size}/${patch}`)).toEqual({ ...body, family: "sit", timeScale: 1 });
    }
  }
  expect(preset("TinySiT-D14").config).toEqual({ ...presets.get("SiT-XL/2")!, depth: 14 });
  const { inChannels, inputSize, depth, numClasses } = preset("SiT-Digits").config;
  expect([inChannels, inputSize, depth, numClasses]).toEqual([1, 28, 28, 10]);
});
