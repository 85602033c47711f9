/** DiT and SiT whose attention and MLP have widths of their own: configuration, weights, names. */
import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { attentionHeads, mlpChannels } from "../../src/models/dit/config.ts";
import { preset } from "../../src/models/presets.ts";
import { modelOf } from "../../src/models/registry.ts";
import { modelToDiffusers } from "../../src/weights/diffusers-config.ts";
import { presetName } from "../../src/weights/fitting-models.ts";
import { weightSpecs } from "../../src/weights/model-file.ts";

const body = { inputSize: 8, patchSize: 4, inChannels: 1, hiddenSize: 16, depth: 1, numHeads: 4, numClasses: 3 };

describe.each(["dit", "sit"])("a narrow %s", (family) => {
  const of = (widths: object) => modelOf({ family, ...body, ...widths });

  test("has narrow weights inside its blocks, and others as before", () => {
    const shapes = (widths: object) => new Map(weightSpecs(of(widths)).map(({ name, shape }) => [name, shape]));
    const [wide, narrow] = [shapes({}), shapes({ keptHeads: 3, mlpSize: 10 })];
    const changed = [...narrow].filter(([name, shape]) => String(shape) !== String(wide.get(name)));
    expect(Object.fromEntries(changed)).toEqual({
      "blocks.0.attn.qkv.weight": [36, 16],
      "blocks.0.attn.qkv.bias": [36],
      "blocks.0.attn.proj.weight": [16, 12],
      "blocks.0.mlp.fc1.weight": [10, 16],
      "blocks.0.mlp.fc1.bias": [10],
      "blocks.0.mlp.fc2.weight": [16, 10],
    });
    expect([...narrow.keys()]).toEqual([...wide.keys()]);
  });

  test("says nothing of widths that are the usual ones", () => {
    expect(Object.keys(of({}).config)).not.toContain("keptHeads");
    expect(Object.keys(of({}).config)).not.toContain("mlpSize");
  });

  test("has no more heads than it had, and at least one of each", () => {
    for (const widths of [{ keptHeads: 5 }, { keptHeads: 0 }, { mlpSize: 0 }, { keptHeads: 1.5 }, { mlpSize: "9" }]) {
      expect(() => of(widths), JSON.stringify(widths)).toThrow(InputError);
    }
    expect(() => of({ keptHeads: 5 })).toThrow(/keptHeads must not be more than numHeads/);
  });
});

test("a head keeps its size", () => {
  const config = { hiddenSize: 64, numHeads: 4, mlpRatio: 4 };
  expect(attentionHeads(config)).toEqual({ count: 4, size: 16 });
  expect(attentionHeads({ ...config, keptHeads: 2 })).toEqual({ count: 2, size: 16 });
  expect([mlpChannels(config), mlpChannels({ ...config, mlpSize: 100 })]).toEqual([256, 100]);
});

test("the name of a preset goes on with what was pruned in width", () => {
  const { config } = preset("DiT-Digits");
  const named = (widths: object) => presetName(modelOf({ ...config, ...widths }));
  expect(named({ keptHeads: 2, mlpSize: 128 })).toBe("DiT-Digits, 2 of 4 heads, MLP 128 wide");
  expect(named({ mlpSize: 128, depth: 7 })).toBe("DiT-Digits with 7 of 28 blocks, MLP 128 wide");
  expect(named({ keptHeads: 2, hiddenSize: 32 })).toBeNull();
});

test("diffusers has no such model, which is said", () => {
  const narrow = modelOf({ ...body, mlpSize: 10 });
  expect(() => modelToDiffusers(narrow, "out")).toThrow(/pruned in width; convert to pt or safetensors instead/);
  expect(modelToDiffusers(modelOf(body), "out")).toMatchObject({ attention_head_dim: 4 });
});
