/** Values of options as people write them: words for off, repeated keys, numbers that mean nothing. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { commands } from "../../src/cli/commands.ts";
import { settingsOfFile } from "../../src/cli/flags.ts";
import { configFile } from "../../src/tasks/config-file.ts";
import { resolveValues, SettingError } from "../../src/tasks/settings.ts";
import { loopSettings, optimizerSettings } from "../../src/tasks/shared-settings.ts";
import { sampleSettings } from "../../src/tasks/training-samples.ts";
import { plantImages, plantModel, run, tinyConfig } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "options-"));
const at = (...path: string[]): string => join(folder, ...path);
afterAll(() => rmSync(folder, { recursive: true }));

const table = { ...optimizerSettings, ...loopSettings, ...sampleSettings };
const yaml = (text: string) => {
  writeFileSync(at("options.yaml"), text);
  return resolveValues(table, settingsOfFile(table, configFile(at("options.yaml")), "options.yaml"));
};

test("help says what a setting is in at most ten words, its default in brackets and names of choices apart", () => {
  for (const { name, settings, flags } of commands) {
    for (const [option, { help }] of Object.entries({ ...settings, ...flags })) {
      for (const line of help.replaceAll(/\[[^\]]*\]/g, "").split("\n")) {
        const words = line.replace(/^[\w-]+:/, "").match(/[\p{L}\d][^\s]*/gu) ?? [];
        expect(words.length, `${name} ${option}: ${line}`).toBeLessThanOrEqual(10);
      }
    }
  }
});

describe("off", () => {
  test.each([
    "clipNorm",
    "weightDecay",
    "logEvery",
    "saveEvery",
    "sampleEvery",
  ] as const)("is what 0, inf, none and off mean for %s", (name) => {
    for (const text of ["0", "inf", "Infinity", "none", "off"])
      expect(resolveValues(table, { [name]: text })[name]).toBe(0);
    for (const text of ["0", ".inf", "off", "none", "false"]) expect(yaml(`${name}: ${text}`)[name]).toBe(0);
    for (const text of ["-1", "nan", "NaN", "-inf", "true", ""])
      expect(() => resolveValues(table, { [name]: text })).toThrow(SettingError);
  });

  test.each([
    "learningRate",
    "emaDecay",
    "batchSize",
    "steps",
    "keepCheckpoints",
    "threads",
  ] as const)("is nothing that %s takes", (name) => {
    for (const text of ["inf", "none", "off", "nan", "-1"])
      expect(() => resolveValues(table, { [name]: text })).toThrow(SettingError);
  });
});

describe("a config file", () => {
  test.each([
    ["learning-rate: 1e-3\nlearningRate: 1e-4\n", /learning-rate and learningRate are the same option; keep one/],
    ["batchSize: 3\nbatch-size: 3\n", /batchSize and batch-size are the same option/],
    ["steps: 3\nseed: 1\nsteps: 4\n", /a key is repeated in line 3/],
    ['{"steps": 3, "steps": 4}', /a key is repeated/],
    ["recompute: no\n", /`recompute` expects true or false, got no/],
    ["recompute: off\n", /`recompute` expects true or false, got off/],
    ["emaWarmup: off\n", /`emaWarmup` expects one of on, none, got off/],
    ["steps: true\n", /`steps` expects a whole number, got true/],
    ["steps: [1]\n", /`steps` expects a whole number, got \[1\]/],
    ["steps: 1.5\n", /`steps` expects a whole number, got 1.5/],
    ["learning_rate: 1e-4\n", /unknown key learning_rate; did you mean learningRate/],
    ["extend: on\n", /`extend` expects one of rewind, keep, got on/],
  ])("of %j is refused", (text, message) => {
    expect(() => yaml(text)).toThrow(message);
    expect(() => yaml(text)).toThrow(SettingError);
  });

  test("has numbers with exponents, and the bare flag as true", () => {
    expect(yaml("learning-rate: 1e-4\nextend: true\nrecompute: true\nsteps: 1e3\n")).toMatchObject({
      ...{ learningRate: 1e-4, extend: "rewind", recompute: true, steps: 1000 },
    });
    expect(yaml("extend: keep\n").extend).toBe("keep");
  });
});

describe("on the command line", () => {
  const model = at("model.safetensors");
  let data: string[] = [];
  beforeAll(async () => {
    await plantModel(model);
    data = plantImages(folder);
    writeFileSync(at("tiny.json"), JSON.stringify(tinyConfig));
  });

  const train = (out: string, ...more: string[]) =>
    run([
      "train",
      "--model-config",
      at("tiny.json"),
      "--out",
      at(out),
      "--steps",
      "2",
      "--batch-size",
      "4",
      ...data,
      ...more,
    ]);

  test("of a flag given twice the last value counts, over one in a file, as in other programs", async () => {
    writeFileSync(at("seed.yaml"), "seed: 3\n");
    expect((await train("twice", "--seed", "1", "--seed", "2", "--config", at("seed.yaml"))).code).toBe(0);
    expect(JSON.parse(readFileSync(at("twice/config.json"), "utf8")).seed).toBe(2);
  });

  test("a model configuration with a repeated key is refused", async () => {
    writeFileSync(at("repeated.json"), JSON.stringify(tinyConfig).replace("}", ',"depth":8}'));
    const { code, stderr } = await run(["train", "--model-config", at("repeated.json"), "--dry-run", ...data]);
    expect([code, stderr]).toEqual([2, expect.stringMatching(/repeated\.json: a key is repeated/)]);
  });

  test("no clipping trains: as with a norm that is never reached", async () => {
    const norms = ["0", "inf", "1e30"];
    for (const norm of norms) expect((await train(`clip-${norm}`, "--clip-norm", norm)).code).toBe(0);
    const rows = await Promise.all(
      norms.map((norm) =>
        run(["inspect", at(`clip-${norm}`, "checkpoints/step-00000002/weights.safetensors"), "--json"]),
      ),
    );
    const hashes = rows.map(({ stdout }) => JSON.parse(stdout).sha256);
    expect(new Set(hashes).size).toBe(1);
    await train("untouched", "--learning-rate", "0");
    const of = async (out: string) =>
      JSON.parse((await run(["inspect", at(out, "checkpoints/step-00000002/weights.safetensors"), "--json"])).stdout)
        .sha256;
    expect(await of("untouched")).not.toBe(hashes[0]);
  }, 30_000);

  test.each([
    [["--ema-decay", "1", "--ema-warmup", "none"], /the average would keep the initial weights/],
    [["--final-lr", "1e-5"], /--final-lr and --lr-schedule constant exclude each other/],
  ])("%j is refused", async (options, message) => {
    const { code, stderr } = await train("refused", ...options);
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
  });

  test.each([
    [["--learning-rate", "0"], /--learning-rate 0 changes no weights/],
    [["--warmup-steps", "5"], /--warmup-steps 5 is not over after --steps 2/],
    [["--lr-schedule", "cosine", "--final-lr", "1"], /the learning rate rises, from 0.0001 to --final-lr 1/],
  ])("%j is noted", async (options, message) => {
    const { code, stderr } = await train(`noted-${options[0]}`, ...options);
    expect([code, stderr]).toEqual([0, expect.stringMatching(message)]);
  });

  test("prune without a rate for its gates is refused, and so are factors of 0 that train nothing", async () => {
    const prune = (...more: string[]) => run(["prune", model, "--out", at("mask"), "--steps", "2", ...data, ...more]);
    expect((await prune("--learning-rate", "0")).stderr).toMatch(/--learning-rate 0 learns nothing: --gate-lr is 10/);
    expect((await prune("--gate-lr", "0")).stderr).toMatch(/--gate-lr expects more than 0, got 0/);
    expect((await prune("--lora-alpha", "0")).stderr).toMatch(/--lora-alpha expects more than 0, got 0/);
    expect((await prune("--tau-end", "0")).stderr).toMatch(/--tau-end expects at least 0.001, got 0/);
    const finetune = await run(["finetune", model, "--mask-sigma", "0", "--out", at("fine"), ...data]);
    expect([finetune.code, finetune.stderr]).toEqual([2, expect.stringMatching(/--mask-sigma expects more than 0/)]);
  });

  test("saving and logging never still leave the last of each", async () => {
    expect((await train("seldom", "--save-every", "0", "--log-every", "none")).code).toBe(0);
    expect((await run(["inspect", at("seldom")])).stdout).toMatch(/2 of 2|step +2/);
  });

  test("a batch of one samples what a batch of two does, and one larger than the count is cut to it", async () => {
    const sample = (out: string, ...more: string[]) =>
      run(["sample", model, "--out", at(out), "--count", "3", "--steps", "2", "--clip", ...more]);
    const one = await sample("one", "--batch", "1");
    expect([one.code, one.stderr]).toEqual([0, expect.not.stringContaining("--batch")]);
    const two = await sample("two", "--batch", "2");
    expect(two.code).toBe(0);
    const hash = (out: string) => readFileSync(at(out, "samples.safetensors")).toString("base64");
    expect(hash("one")).toBe(hash("two"));
    const many = await sample("many", "--batch", "400");
    expect([many.code, many.stderr]).toEqual([
      0,
      expect.stringMatching(/--batch 400 is cut to the 3 images of this run/),
    ]);
    const three = await sample("three", "--batch", "3");
    expect(hash("many")).toBe(hash("three"));
    expect(three.stderr).not.toMatch(/is cut/);
    expect((await sample("none", "--batch", "0")).stderr).toMatch(/--batch expects at least 1, got 0/);
  }, 30_000);

  test("training with a batch of one works, too", async () => {
    const { code, stderr } = await run([
      ...[
        "train",
        "--model-config",
        at("tiny.json"),
        "--out",
        at("single"),
        "--steps",
        "2",
        "--batch-size",
        "1",
        ...data,
      ],
    ]);
    expect(code, stderr).toBe(0);
  });

  test("more threads than cores are cut to them, with a note", async () => {
    const cores = availableParallelism();
    const { code, stderr } = await train("threads", "--threads", String(cores + 5));
    expect([code, stderr]).toEqual([
      0,
      expect.stringContaining(`--threads ${cores + 5} is more than this machine has; using ${cores}\n`),
    ]);
  });
});
