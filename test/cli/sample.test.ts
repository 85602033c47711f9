import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { sampleCommand } from "../../src/cli/sample.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/formats/safetensors.ts";
import { modelOf } from "../../src/models/registry.ts";
import { lockFolder } from "../../src/storage/lock.ts";
import { SettingError } from "../../src/tasks/settings.ts";
import { saveModel, weightSpecs } from "../../src/weights/model-file.ts";
import { awakeWeights } from "../training/tiny.ts";
import { run as runProgram } from "./program-run.ts";

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
async function run(more: Record<string, unknown>, path = digits, signal = new AbortController().signal) {
  const printed: string[] = [];
  const note = (line: string) => printed.push(line);
  const settings = { file: path, threads: 1, steps: "ddim2", ...more, signal, onNote: note };
  printed.push(...(await sampleCommand.run(settings, {}, { print: note, note })));
  return printed;
}

describe("tinyfusion sample", () => {
  test("writes a picture, the samples, and every setting that made them", async () => {
    const out = join(folder, "three");
    const printed = await run({ out, count: 7, classes: "3,5,9", seed: 4, cfg: 1.5 });
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
    expect((await bytes("pruned", { blocks: "0,2" })).equals(first)).toBe(false);
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
      await run({ out: join(folder, "cosine"), overwrite: true, count: 2, ...flags }, path);
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

  test("evaluates digits by the scores of tinyfusion evaluate, and counts them by class", async () => {
    const out = join(folder, "evaluated");
    const printed = await run({ out, count: 20, evaluate: true });
    const text = printed.join("\n");
    expect(text).toMatch(/^FD-digits +\d+\.\d\d ± \d+\.\d\d +20 images, 64 features, to a Gaussian of 8000 images/m);
    expect(text).toMatch(/^label accuracy +\d+\.\d ± \d+\.\d%/m);
    expect(text).toMatch(/^wanted( +2){10}$/m);
    const { digits: evaluation } = JSON.parse(readFileSync(join(out, "samples.json"), "utf8"));
    expect(evaluation.classes).toHaveLength(10);
    const page = join(folder, "evaluation");
    const { code, stderr } = await runProgram(["evaluate", out, "--threads", "1", "--out", page]);
    expect(code, stderr).toBe(0);
    const { scores, warnings } = JSON.parse(readFileSync(join(page, "evaluation.json"), "utf8"));
    expect({ scores, warnings }).toEqual({ scores: evaluation.scores, warnings: evaluation.warnings });
  }, 120_000);

  test("latents get no picture, and say why", async () => {
    const out = join(folder, "latents");
    const printed = await run({ out, count: 2 }, latents);
    expect(printed[0]).toContain("no grid: 4-channel latents");
    expect(existsSync(join(out, "grid.png"))).toBe(false);
    expect(existsSync(join(out, "samples.safetensors"))).toBe(true);
  });

  test("writes nothing when it is stopped", async () => {
    const out = join(folder, "stopped");
    const { code, stderr } = await runProgram(["sample", digits, "--out", out], AbortSignal.abort());
    expect([code, stderr]).toEqual([130, "stopped; nothing was written\n"]);
    expect(existsSync(out)).toBe(false);
  });

  test.each([
    [{ classes: "1,12" }, digits, 'unknown label "12"; the model knows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9'],
    [{ classes: "30" }, latents, 'unknown label "30"; the model knows 0 to 29'],
    [{ classes: "1,,2" }, digits, 'unknown label ""'],
    [{ classes: "-1" }, digits, 'unknown label "-1"'],
    [{ blocks: "0,3" }, digits, 'expected block numbers from 0 to 2, found "3"'],
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
    await expect(run(flags)).rejects.toThrow(SettingError);
  });
});

describe("the folder of samples", () => {
  const bytes = (out: string) =>
    Object.fromEntries(readdirSync(out).map((name) => [name, readFileSync(join(out, name)).toString("base64")]));
  const images = ["grid.png", "samples.safetensors"];
  const pictures = (out: string) => images.map((name) => bytes(out)[name]);

  test("takes the same command again, with scores or other threads too, and refuses other settings by name", async () => {
    const out = join(folder, "repeated");
    const first = { out, count: 20, seed: 3, classes: "3,5" };
    await run(first);
    const before = pictures(out);
    await run(first);
    await run({ ...first, evaluate: true });
    expect(pictures(out)).toEqual(before);
    const after = bytes(out);
    const other = run({ ...first, seed: 4, count: 21, cfg: 3, blocks: "0,2" });
    await expect(other).rejects.toThrow(InputError);
    await expect(other).rejects.toThrow(
      `${out} holds samples with other settings (settings.count: was 20, now 21; settings.seed: was 3, now 4; ` +
        "settings.cfgScale: was 2, now 3; settings.kept: was absent, now [0,2]); choose another `out`, or replace them with `overwrite`",
    );
    await expect(run(first, latents)).rejects.toThrow(/holds samples with other settings \(sha256: was/);
    expect(bytes(out)).toEqual(after);
  });

  test("sees that the configuration beside a file that does not say it is another", async () => {
    const path = join(folder, "foreign.safetensors");
    writeFileSync(path, Buffer.concat([...encodeSafetensors(awakeWeights(weightSpecs(modelOf(tiny))))]));
    const modelConfig = join(folder, "config.json");
    const out = join(folder, "foreign");
    const withHeads = (numHeads: number) => {
      writeFileSync(modelConfig, JSON.stringify({ ...tiny, numHeads }));
      return run({ out, count: 2, modelConfig }, path);
    };
    await withHeads(2);
    await withHeads(2);
    await expect(withHeads(4)).rejects.toThrow("holds samples with other settings (config.numHeads: was 2, now 4)");
  });

  test("is that of other settings with --overwrite, but stays as it was if it is stopped", async () => {
    const out = join(folder, "replaced");
    await run({ out, count: 2 });
    const before = bytes(out);
    const stopped = AbortSignal.abort();
    await expect(run({ out, count: 3, overwrite: true }, digits, stopped)).rejects.toBe(stopped.reason);
    expect(bytes(out)).toEqual(before);
    await run({ out, count: 3, overwrite: true });
    expect(JSON.parse(readFileSync(join(out, "samples.json"), "utf8")).settings.count).toBe(3);
    await run({ out, count: 3, overwrite: true }, latents);
    expect(readdirSync(out).sort()).toEqual(["samples.json", "samples.safetensors"]); // no grid of the other model
  });

  test("is refused where nobody knows how its samples were made", async () => {
    const out = join(folder, "unknown");
    await run({ out, count: 2 });
    writeFileSync(join(out, "samples.json"), "{");
    await expect(run({ out, count: 2 })).rejects.toThrow(
      /holds a samples\.json that is damaged; choose another `out`, or/,
    );
    rmSync(join(out, "samples.json"));
    await expect(run({ out, count: 2 })).rejects.toThrow(/holds samples\.safetensors without samples\.json/);
  });

  test("is refused before anything is sampled where a folder has the name of one of its files, also with --overwrite", async () => {
    for (const name of ["grid.png", "samples.safetensors", "samples.json"]) {
      const out = join(folder, `holds-${name}`);
      mkdirSync(join(out, name, "kept"), { recursive: true });
      const message = `cannot write ${join(out, name)}: expected a file or a new name, found a folder`;
      for (const overwrite of [false, true]) {
        await expect(run({ out, count: 2, overwrite }, digits, AbortSignal.abort())).rejects.toThrow(message);
      }
      expect(readdirSync(join(out, name))).toEqual(["kept"]);
    }
  });

  test("is one process's own", async () => {
    const out = join(folder, "both");
    const release = lockFolder(out);
    await expect(run({ out, count: 2 })).rejects.toThrow(InputError);
    await expect(run({ out, count: 2 })).rejects.toThrow(/both is in use by process \d+/);
    release();
    const both = await Promise.allSettled([run({ out, count: 2 }), run({ out, count: 2, seed: 1 })]);
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(readdirSync(out).sort()).toEqual(["grid.png", "samples.json", "samples.safetensors"]);
  });

  test("is asked for before anything is sampled", async () => {
    writeFileSync(join(folder, "file"), "kept");
    symlinkSync(join(folder, "nowhere"), join(folder, "dangling"));
    for (const [out, message] of [
      [join(folder, "file"), /found a file; choose another `out`/],
      [join(folder, "file", "in"), /a part of this path is a file/],
      [join(folder, "dangling"), /found a link to nothing/],
      ["/proc/x", /permission denied/],
      ["/dev/full", /found a device or pipe/],
    ] as const) {
      const printed: string[] = [];
      const onProgress = () => printed.push("sampled");
      const settings = { file: digits, threads: 1, steps: "ddim2", count: 2, out, onProgress };
      const output = { print: (line: string) => printed.push(line), note: (line: string) => printed.push(line) };
      await expect(sampleCommand.run(settings, {}, output)).rejects.toThrow(message);
      expect(printed).toEqual([]);
    }
    expect(readFileSync(join(folder, "file"), "utf8")).toBe("kept");
  });
});
