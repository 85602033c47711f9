/** Each file that the original projects publish is named from names and shapes alone. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { processOf } from "../../src/diffusion/process.ts";
import { preset } from "../../src/models/presets.ts";
import { modelOf } from "../../src/models/registry.ts";
import { chooseModel } from "../../src/weights/choose-model.ts";
import { presetsThatFit } from "../../src/weights/fitting-models.ts";
import { describeModel, openModel } from "../../src/weights/model-file.ts";
import { openWeights } from "../../src/weights/open-weights.ts";
import { weightSpecs } from "../../src/weights/weight-specs.ts";
import { plantShapes, plantTorch } from "./planted.ts";

const folder = mkdtempSync(join(tmpdir(), "original-shapes-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

function messageOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as InputError).message;
  }
  throw new Error("nothing was refused");
}

/** The first blocks of a preset of one stack. */
function shallow(name: string, depth: number) {
  const { family, config } = preset(name);
  return {
    family,
    config: family.keep(
      config,
      Array.from({ length: depth }, (_, i) => i),
    ),
  };
}

/** Tensors and numbers in the state dicts of the original classes; those of pruned models follow from their depth. */
const originals: readonly (readonly [name: string, tensors: number, numbers: number, could: readonly string[]])[] = [
  ["DiT-XL/2", 292, 675_129_632, ["DiT-XL/2", "SiT-XL/2"]],
  ["DiT-XL/2-512", 292, 676_014_368, ["DiT-XL/2-512"]],
  ["SiT-XL/2", 292, 675_129_632, ["DiT-XL/2", "SiT-XL/2"]],
  ["TinyDiT-D14", 152, 340_457_504, ["TinyDiT-D14", "TinySiT-D14"]],
  ["MAR-B", 364, 207_924_768, ["MAR-B"]],
  ["MAR-L", 476, 478_326_304, ["MAR-L"]],
  ["MAR-H", 604, 942_403_104, ["MAR-H"]],
  ["TinyMAR-D16", 284, 276_786_720, ["TinyMAR-D16"]],
];

describe("from shapes alone", () => {
  test.each(originals)("%s: %d tensors, %d numbers", async (name, tensors, numbers, could) => {
    const specs = weightSpecs(preset(name));
    const opened = await openWeights(plantShapes(at("shapes.safetensors"), specs));
    const count = specs.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    expect([opened.tensors.size, count]).toEqual([tensors, numbers]);
    expect(presetsThatFit(opened.tensors).map(({ text }) => text)).toEqual(could);
    const choose = () => chooseModel(opened);
    if (could.length === 1) {
      expect(choose().model).toEqual(preset(name));
      expect(choose().notes).toEqual([
        `${opened.path} is taken for ${name}: no other preset has these names and shapes`,
      ]);
    } else {
      const flags = could.map((one) => `\`model\` ${one}`).join(" or ");
      expect(choose).toThrow(`by names and shapes it could be ${could.join(" or ")}; name it with ${flags}`);
      expect(chooseModel(opened, preset(name))).toMatchObject({ model: preset(name), notes: [] });
    }
  });

  test("TinyDiT-D14 as a .pt: its weights stay in the file, where an engine can map them", async () => {
    const path = await plantTorch(at("TinyDiT-D14.pt"), weightSpecs(preset("TinyDiT-D14")));
    const file = await openModel(path, preset("TinyDiT-D14"));
    expect(file.model.config).toMatchObject({ depth: 14, hiddenSize: 1152, numHeads: 16 });
    expect([...file.tensors.values()].every((weight) => "location" in weight && weight.location)).toBe(true);
    await expect(openModel(path)).rejects.toThrow("`model` TinyDiT-D14 or `model` TinySiT-D14");
  }, 60_000);

  test("fewer blocks than the preset: it is said which, and the preset's name is enough", async () => {
    const nine = shallow("DiT-XL/2", 9);
    const opened = await openWeights(plantShapes(at("nine.safetensors"), weightSpecs(nine)));
    expect(() => chooseModel(opened)).toThrow(
      "could be DiT-XL/2 with 9 of 28 blocks or SiT-XL/2 with 9 of 28 blocks; name it with `model` DiT-XL/2 or `model` SiT-XL/2",
    );
    const { model, notes } = chooseModel(opened, preset("DiT-XL/2"));
    expect(model.config).toEqual(nine.config);
    expect(notes).toEqual([`${opened.path} has 9 of the model's 28 blocks`]);
  });

  test("a named model that is another than the file says is not used, and that is said", async () => {
    const specs = weightSpecs(preset("SiT-S/8"));
    const opened = await openWeights(plantShapes(at("itself.safetensors"), specs));
    const said = {
      ...opened,
      metadata: describeModel(preset("SiT-S/8"), {
        ...{ weights: "raw", images: 0, prunings: [], process: processOf("flow") },
      }),
    };
    expect(chooseModel(said, preset("SiT-S/8")).contradiction).toBeUndefined();
    expect(chooseModel(said, shallow("SiT-S/8", 3)).contradiction).toBeUndefined();
    const { model, contradiction } = chooseModel(said, preset("DiT-S/8"));
    expect(model.family.name).toBe("sit");
    expect(contradiction).toBe(`${opened.path} says itself that it is SiT-S/8; the model that was named is another`);
  });

  test("the arguments of a training checkpoint decide between families", async () => {
    const opened = await openWeights(plantShapes(at("said.safetensors"), weightSpecs(preset("SiT-S/8"))));
    const { model, notes } = chooseModel({ ...opened, otherEntries: { args: { model: "SiT-S/8" } } });
    expect(model).toEqual(preset("SiT-S/8"));
    expect(notes).toEqual([`${opened.path} is taken for SiT-S/8: its arguments say so`]);
    expect(() => chooseModel({ ...opened, otherEntries: { args: { model: "SiT-B/8" } } })).toThrow(
      "name it with `model` DiT-S/8",
    );
  });

  test.each<readonly [string, object, string]>([
    ["DiT-S/8", { learnSigma: false }, "DiT-S/8 but for learnSigma false instead of true"],
    ["SiT-S/8", { numClasses: 100 }, "SiT-S/8 but for numClasses 100 instead of 1000"],
    ["SiT-B/4", { inputSize: 16 }, "SiT-B/4 but for inputSize 16 instead of 32"],
    ["DiT-S/2", { inChannels: 16, learnSigma: false, numClasses: 10 }, "inChannels 16 instead of 4"],
    [
      "MAR-B",
      { bufferSize: 32, denoiserDepth: 3 },
      "MAR-B but for bufferSize 32 instead of 64, denoiserDepth 3 instead of 6",
    ],
    ["DiT-S/8", { keptHeads: 3, mlpSize: 768 }, "DiT-S/8 but for keptHeads 3, mlpSize 768"],
    // A width that no preset has, with heads as wide as those of the nearest; a patch that the channels tell.
    ["DiT-Digits", { hiddenSize: 48, numHeads: 3, depth: 2 }, "hiddenSize 48 instead of 64, depth 2 instead of 28"],
    ["SiT-Digits", { hiddenSize: 80, numHeads: 5, depth: 2 }, "SiT-Digits but for hiddenSize 80 instead of 64"],
    ["MAR-Digits", { patchSize: 2 }, "MAR-Digits but for patchSize 2 instead of 4"],
  ])("%s with %j: the fields that differ, and what to write", async (name, change, text) => {
    const model = modelOf({ ...preset(name).config, ...change });
    const opened = await openWeights(plantShapes(at("own.safetensors"), weightSpecs(model)));
    for (const given of [undefined, preset(name)]) {
      const message = messageOf(() => chooseModel(opened, given));
      expect(message).toContain(text);
      const json = JSON.stringify(model.config);
      const written = message.match(/\{"family".*?\}/g)!.map((one) => JSON.parse(one));
      expect(written, json).toContainEqual(JSON.parse(json));
      expect(message.length).toBeLessThan(1500);
    }
    expect(chooseModel(opened, model).model).toEqual(model);
  });

  test("a model of the named family that has the shapes of another family's preset", async () => {
    const model = modelOf({ ...preset("SiT-Digits").config, learnSigma: true });
    const opened = await openWeights(plantShapes(at("sigma.safetensors"), weightSpecs(model)));
    expect(() => chooseModel(opened, preset("SiT-Digits"))).toThrow(
      /like SiT-Digits but for learnSigma true instead of false; write .*timeScale.*; these weights would fit DiT-Digits$/,
    );
  });

  test("a model that does not fit: all differences, and which presets would fit", async () => {
    const opened = await openWeights(plantShapes(at("small.safetensors"), weightSpecs(preset("DiT-S/8"))));
    const choose = () => chooseModel(opened, preset("DiT-S/4"));
    expect(choose).toThrow(/does not fit the model: misshaped \(4\): .*these weights would fit DiT-S\/8 or SiT-S\/8$/);
    const missing = weightSpecs(preset("DiT-S/8")).filter(({ name }) => !name.startsWith("blocks.4.mlp"));
    const cut = await openWeights(plantShapes(at("cut.safetensors"), missing));
    expect(() => chooseModel(cut, preset("DiT-S/8"))).toThrow(
      /missing \(4\): blocks\.4\.mlp\.fc1\.weight \[1536,384\]/,
    );
  });
});
