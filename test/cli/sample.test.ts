import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { resolveValues, UsageError } from "../../src/cli/option.ts";
import { sample } from "../../src/cli/sample.ts";
import { decodeSafetensors } from "../../src/formats/safetensors.ts";
import { modelOf } from "../../src/models/registry.ts";
import { saveModel, weightSpecs } from "../../src/weights/model-file.ts";
import { awakeWeights } from "../training/tiny.ts";

const folder = mkdtempSync(join(tmpdir(), "sample-"));
afterAll(() => rmSync(folder, { recursive: true }));

const tiny = { patchSize: 7, hiddenSize: 8, numHeads: 2, depth: 3, numClasses: 10, inputSize: 28, inChannels: 1 };
const digits = join(folder, "digits.safetensors");
const latents = join(folder, "latents.safetensors");

beforeAll(async () => {
  for (const [path, config] of [
    [digits, tiny],
    [latents, { ...tiny, inChannels: 4, numClasses: 30 }],
  ] as const) {
    const model = modelOf(config);
    await saveModel(path, model, awakeWeights(weightSpecs(model)), {
      weights: "ema",
      images: 12,
      prunings: [],
      process: { kind: "gaussian", schedule: "linear", steps: 1000 },
    });
  }
});

/** Runs the command as the command line would. */
async function run(flags: Record<string, unknown>, path = digits, signal = new AbortController().signal) {
  const printed: string[] = [];
  const context = {
    signal,
    given: new Set<string>(),
    typed: { values: {}, positional: [] },
    print: (line: string) => printed.push(line),
    note: (line: string) => printed.push(line),
    progress: () => {},
  };
  const values = resolveValues(sample.options, { threads: 1, steps: "ddim2", ...flags });
  return { code: await sample.run(values, context, path), printed };
}

describe("tinyfusion sample", () => {
  test("writes a picture, the samples, and every setting that made them", async () => {
    const out = join(folder, "three");
    const { code, printed } = await run({ out, count: 7, classes: "3,5,9", seed: 4, cfg: 1.5 });
    expect(code).toBe(0);
    expect(printed[0]).toBe(join(out, "grid.png"));
    expect(printed[1]).toMatch(/^7 images, averaged \(EMA\) weights, 3 blocks: \S+ s an image, \S+ it\/s$/);
    expect([...readFileSync(join(out, "grid.png")).subarray(1, 4)].map((c) => String.fromCharCode(c)).join("")).toBe(
      "PNG",
    );
    const { tensors } = decodeSafetensors(readFileSync(join(out, "samples.safetensors")));
    expect(tensors.get("images")!.shape).toEqual([7, 1, 28, 28]);
    expect([...tensors.get("labels")!.data]).toEqual([3, 5, 9, 3, 5, 9, 3]);
    const facts = JSON.parse(readFileSync(join(out, "samples.json"), "utf8"));
    expect(facts.settings).toEqual({
      ...{
        count: 7,
        classes: [3, 5, 9],
        steps: "ddim2",
        sampler: "ddim",
        eta: 0,
        cfgScale: 1.5,
        cfgChannels: 1,
        clip: false,
      },
      ...{ seed: 4, threads: 1, evaluate: false, process: { kind: "gaussian", schedule: "linear", steps: 1000 } },
    });
    expect(facts.modelFile).toMatchObject({ path: digits, weights: "ema", images: 12, config: { depth: 3 } });
    expect(facts.modelFile.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(facts.timesteps).toEqual([0, 500]);
    expect(facts.versions["onnxruntime-node"]).toBeDefined();
  });

  test("writes the same samples again, byte for byte, and others with blocks left out", async () => {
    const bytes = async (name: string, flags: object) => {
      await run({ out: join(folder, name), count: 3, ...flags });
      return readFileSync(join(folder, name, "samples.safetensors"));
    };
    const first = await bytes("first", {});
    expect((await bytes("again", {})).equals(first)).toBe(true);
    expect((await bytes("pruned", { kept: "0,2" })).equals(first)).toBe(false);
    expect(JSON.parse(readFileSync(join(folder, "pruned/samples.json"), "utf8")).settings.kept).toEqual([0, 2]);
  });

  test("samples with the process that the file names, unless another is asked for", async () => {
    const model = modelOf(tiny);
    const path = join(folder, "cosine.safetensors");
    const process = { kind: "gaussian", schedule: "squaredcos_cap_v2", steps: 500 } as const;
    await saveModel(path, model, awakeWeights(weightSpecs(model)), {
      weights: "raw",
      images: 0,
      prunings: [],
      process,
    });
    const factsWith = async (flags: object) => {
      await run({ out: join(folder, "cosine"), count: 2, ...flags }, path);
      return JSON.parse(readFileSync(join(folder, "cosine/samples.json"), "utf8"));
    };
    const own = await factsWith({});
    expect([own.settings.process, own.timesteps]).toEqual([process, [0, 250]]);
    expect((await factsWith({ schedule: "linear" })).settings.process).toEqual({
      kind: "gaussian",
      schedule: "linear",
      steps: 500,
    });
  });

  test("evaluates digits and says what the numbers depend on", async () => {
    const out = join(folder, "evaluated");
    const { printed } = await run({ out, count: 20, evaluate: true });
    const text = printed.join("\n");
    expect(text).toMatch(/FD-digits \d+\.\d\d ± \d+\.\d\d {2}\(n 20, steps ddim2, cfg 2; real digits at n 20: /);
    expect(text).toMatch(/label accuracy \d+\.\d%/);
    expect(text).not.toMatch(/FID/);
    const { digits: report } = JSON.parse(readFileSync(join(out, "samples.json"), "utf8"));
    expect(report.n).toBe(20);
    expect(report.perClass).toHaveLength(10);
  });

  test("latents get no picture, and say why", async () => {
    const out = join(folder, "latents");
    const { printed } = await run({ out, count: 2 }, latents);
    expect(printed[0]).toContain("no picture: 4-channel latents");
    expect(existsSync(join(out, "grid.png"))).toBe(false);
    expect(existsSync(join(out, "samples.safetensors"))).toBe(true);
  });

  test("writes nothing when it is stopped", async () => {
    const out = join(folder, "stopped");
    const { code, printed } = await run({ out }, digits, AbortSignal.abort());
    expect(code).toBe(130);
    expect(printed).toEqual(["stopped; nothing was written"]);
    expect(existsSync(out)).toBe(false);
  });

  test.each([
    [{ classes: "1,12" }, digits, 'unknown label "12"; the model knows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9'],
    [{ classes: "30" }, latents, 'unknown label "30"; the model knows 0 to 29'],
    [{ classes: "1,,2" }, digits, 'unknown label ""'],
    [{ classes: "-1" }, digits, 'unknown label "-1"'],
    [{ kept: "0,3" }, digits, '"3" is not a block number from 0 to 2'],
    [{ evaluate: true }, latents, "this model makes 4 × 28 × 28 of 30 classes"],
    [{ evaluate: true, count: 19 }, digits, "at least 20"],
    [{ cfgChannels: 3 }, digits, "the model's noise has 1"],
    [{ steps: "ddim333" }, digits, "no whole stride"],
    [{}, "nowhere.safetensors", "no such file"],
  ])("refuses %o of %s in one sentence, with nothing written", async (flags, path, message) => {
    const out = join(folder, "refused");
    const result = run({ out, ...flags }, path);
    await expect(result).rejects.toThrow(InputError);
    await expect(result).rejects.toThrow(message);
    expect(existsSync(out)).toBe(false);
  });

  test.each([
    { count: "0" },
    { count: "-5" },
    { count: "2.5" },
    { sampler: "magic" },
    { eta: "2" },
  ])("%o is a mistake in how it was called", async (flags) => {
    await expect(run(flags)).rejects.toThrow(UsageError);
  });
});
