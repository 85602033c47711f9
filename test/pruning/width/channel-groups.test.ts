/** The narrow model computes what the wide one does whose other units say nothing. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { float32, NDArray } from "../../../src/array/ndarray.ts";
import { keepChannelGroups, withWidths } from "../../../src/pruning/width/channel-groups.ts";
import { decideWidths, prunedModel, savePrunedWidths } from "../../../src/pruning/width/prune-width.ts";
import { loadModel, openModel, saveModel, weightSpecs } from "../../../src/weights/model-file.ts";
import { readWeights } from "../../../src/weights/read-weights.ts";
import { difference, fileOf, masked, prediction, someGroups, wide, wideSit } from "./prunable.ts";

const folder = mkdtempSync(join(tmpdir(), "tinyfusion-width-"));
afterAll(() => rmSync(folder, { recursive: true }));

const keep = { heads: 2, channels: 9 };

describe.each([
  ["a DiT", wide],
  ["a SiT", wideSit],
])("%s", (_, model) => {
  it("without some units equals the same with these units masked", async () => {
    const { tensors } = fileOf(model);
    const narrow = prunedModel(model, tensors, { keep, kept: someGroups });
    const cut = await prediction(narrow.model, narrow.weights);
    expect(difference(cut, await prediction(model, masked(model, tensors, someGroups)))).toBeLessThan(1e-6);
    expect(difference(cut, await prediction(model, tensors))).toBeGreaterThan(1e-3);
  });

  it("does not change where units of which nothing goes out are removed, and magnitude finds them", async () => {
    const silent = masked(model, fileOf(model).tensors, someGroups);
    for (const [name, { data }] of silent) {
      // Rows of qkv and fc1 are nearly zero too, so that the unit is the smallest; they do not matter to the output.
      if (/attn\.qkv\.weight|fc1\.weight/.test(name)) data.set(data.map((x) => 1e-3 * x));
    }
    const file = fileOf(model, silent);
    const decision = await decideWidths(file, { criterion: "magnitude", keep, seed: 0 });
    expect(decision.kept).toEqual(someGroups);
    const narrow = prunedModel(model, silent, decision);
    expect(difference(await prediction(narrow.model, narrow.weights), await prediction(model, silent))).toBeLessThan(
      1e-6,
    );
  });
});

describe("the narrow weights", () => {
  it("are the rows of q, k and v, the columns of proj and fc2, the rows of fc1, and their biases", () => {
    const tensors = new Map(
      weightSpecs(wide).map(({ name, shape }) => {
        const size = shape.reduce((a, b) => a * b, 1);
        return [
          name,
          float32(
            Float32Array.from({ length: size }, (_, i) => i),
            shape,
          ),
        ] as const;
      }),
    );
    const cut = keepChannelGroups(wide, tensors, someGroups) as Map<string, NDArray>;
    const rows = [0, 1, 2, 3, 12, 13, 14, 15].flatMap((row) => [row, row + 16, row + 32]).sort((a, b) => a - b);
    expect([...cut.get("blocks.0.attn.qkv.bias")!.data]).toEqual(rows);
    const qkv = cut.get("blocks.0.attn.qkv.weight")!;
    expect(qkv.shape).toEqual([24, 16]);
    expect(rows.map((_, row) => qkv.data[row * 16])).toEqual(rows.map((row) => row * 16));
    const proj = cut.get("blocks.1.attn.proj.weight")!;
    expect(proj.shape).toEqual([16, 8]);
    expect([...proj.data.subarray(8, 16)]).toEqual([4, 5, 6, 7, 8, 9, 10, 11].map((column) => 16 + column));
    expect([...cut.get("blocks.1.mlp.fc1.bias")!.data]).toEqual([3, 4, 6, 7, 9, 10, 11, 12, 14]);
    expect(cut.get("blocks.1.mlp.fc2.weight")!.shape).toEqual([16, 9]);
    expect(cut.get("blocks.1.attn.proj.bias")).toBe(tensors.get("blocks.1.attn.proj.bias"));
    const specs = weightSpecs(withWidths(wide, keep)).map(({ name, shape }) => [name, shape]);
    expect(Array.from(cut, ([name, { shape }]) => [name, shape])).toEqual(specs);
  });

  it("are the same of a file that is too large for the memory", async () => {
    const path = join(folder, "wide.safetensors");
    const { tensors, model, ...facts } = fileOf(wide);
    await saveModel(path, model, tensors, facts);
    const parent = await openModel(path, undefined, { mappedFromBytes: 0 });
    expect([...parent.tensors.values()].some((weight) => weight instanceof NDArray)).toBe(false);
    const out = join(folder, "narrow.safetensors");
    const decision = await decideWidths(parent, { criterion: "magnitude", keep, seed: 0 });
    await savePrunedWidths(out, parent, decision);
    const inMemory = await decideWidths(fileOf(wide), { criterion: "magnitude", keep, seed: 0 });
    expect(decision.kept).toEqual(inMemory.kept);
    const expected = await readWeights(keepChannelGroups(wide, tensors, inMemory.kept));
    const { tensors: found } = await loadModel(out);
    for (const [name, { data }] of expected) expect([...found.get(name)!.data], name).toEqual([...data]);
  });
});
