/** The name of an output says what it is: a file's ending is its format, and no folder is made that is called like a file. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { commands } from "../../src/cli/commands.ts";
import { openWeights } from "../../src/weights/open-weights.ts";
import { plantModel, run } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "output-names-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);
let model: string;
beforeAll(async () => {
  model = await plantModel(at("model.safetensors"));
});

describe("convert takes the format from the name:", () => {
  test.each([
    ["a.pt", "PyTorch (zip)"],
    ["a.pth", "PyTorch (zip)"],
    ["a.ckpt", "PyTorch (zip)"],
    ["a.bin", "PyTorch (zip)"],
    ["A.PT", "PyTorch (zip)"],
    ["a.safetensors", "safetensors"],
  ])("%s", async (name, format) => {
    const { code, stderr } = await run(["convert", model, "--out", at(name)]);
    expect([code, stderr.includes("tinyfusion:")]).toEqual([0, false]);
    expect(statSync(at(name)).isFile()).toBe(true);
    expect((await openWeights(at(name))).format).toBe(format);
  });

  test.each<readonly [readonly string[], RegExp]>([
    [["--out", "b.onnx"], /ONNX files are written by tinyfusion export --onnx/],
    [["--out", "b.gguf"], /convert writes no \.gguf files; expected \.safetensors, \.pt/],
    [["--out", "b.png"], /convert writes no \.png files/],
    [
      ["--to", "safetensors", "--out", "b.pt"],
      /--to safetensors writes .*, but --out \S+b\.pt has the ending of another/,
    ],
    [["--to", "pt", "--out", "b.safetensors"], /--to pt writes a \.pt file, but --out/],
    [["--to", "diffusers", "--out", "b.ckpt"], /--to diffusers writes a folder, but --out/],
  ])("%j is refused", async (args, message) => {
    const { code, stderr } = await run(["convert", model, ...args.map((arg) => (/^b\./.test(arg) ? at(arg) : arg))]);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(readdirSync(folder).filter((name) => name.startsWith("b."))).toEqual([]);
  });

  test("a folder that is there may be called anything, and a name without an ending is a folder", async () => {
    mkdirSync(at("folder.pt"));
    expect((await run(["convert", model, "--out", at("folder.pt")])).code).toBe(0);
    expect(readdirSync(at("folder.pt"))).toEqual(["model.safetensors"]);
    expect((await run(["convert", model, "--out", at("v1.5")])).code).toBe(0);
    expect(readdirSync(at("v1.5"))).toEqual(["model.safetensors"]);
  });
});

describe("a configuration is written beside a .pt that no preset is like", () => {
  test("and reads it again", async () => {
    const { stderr } = await run(["convert", model, "--out", at("own.pt")]);
    expect(stderr).toContain(`give it with --model-config ${at("own.config.json")}`);
    const back = await run(["convert", at("own.pt"), "--model-config", at("own.config.json"), "--out", at("back.bin")]);
    expect(back.code, back.stderr).toBe(0);
  });

  test("but not over another file of this name", async () => {
    writeFileSync(at("taken.config.json"), "{}");
    const { code, stderr } = await run(["convert", model, "--out", at("taken.pt")]);
    expect([code, existsSync(at("taken.pt"))]).toEqual([1, false]);
    expect(stderr).toContain("another file has this name");
  });

  test("a process that is not the family's own is told with the options that name it", async () => {
    const process = { kind: "gaussian", schedule: "squaredcos_cap_v2", steps: 500 } as const;
    const cosine = await plantModel(at("cosine.safetensors"), undefined, { process });
    const { stderr } = await run(["convert", cosine, "--out", at("cosine.pt")]);
    expect(stderr).toContain("give it with --schedule squaredcos_cap_v2 --diffusion-steps 500");
  });
});

/** The arguments of a command, and the flag that it requires. */
function required({ name, positional = [] }: (typeof commands)[number]): string[] {
  return [...positional.map(() => model), ...(name === "export" ? ["--onnx"] : [])];
}

describe("a folder is not called like a file:", () => {
  const folders = commands.flatMap(({ name, settings }) =>
    Object.entries(settings).flatMap(([option, { kind }]) =>
      kind === "folder" ? [[name, `--${option}`] as const] : [],
    ),
  );

  test("every command that writes a folder is here", () => {
    const names = folders.map(([name]) => name);
    for (const name of [
      "sample",
      "generate",
      "evaluate",
      "train",
      "prune",
      "prune-width",
      "finetune",
      "export",
      "encode",
    ])
      expect(names).toContain(name);
    for (const name of ["demo", "pareto", "train-classifier"]) expect(names).toContain(name);
  });

  test.each(folders)("%s %s", async (name, flag) => {
    const given = required(commands.find((command) => command.name === name)!);
    for (const ending of ["png", "safetensors", "pt", "onnx", "npz", "JSON"]) {
      const { code, stderr } = await run([name, ...given, flag, at(`x.${ending}`)]);
      expect([code, stderr], ending).toEqual([2, expect.stringContaining("but is a folder; leave the ending out")]);
      expect(existsSync(at(`x.${ending}`)), ending).toBe(false);
    }
  });

  test("one that is there is taken as it is", async () => {
    mkdirSync(at("there.png"));
    const quick = ["--count", "2", "--steps", "ddim2", "--threads", "1"];
    const { code, stderr } = await run(["sample", model, ...quick, "--out", at("there.png")]);
    expect(code, stderr).toBe(0);
  });
});

describe("a preset and a configuration exclude each other", () => {
  const both = ["--model", "DiT-Digits", "--model-config", at("config.json")];
  const withBoth = commands.filter(({ settings }) => "model" in settings && "modelConfig" in settings);

  test.each(withBoth.map((command) => [command.name, command] as const))("%s", async (name, command) => {
    const { code, stderr } = await run([name, ...required(command), ...both]);
    expect([code, stderr]).toEqual([
      2,
      "tinyfusion: --model-config and --model exclude each other: both say which model it is\n",
    ]);
  });

  test("in a file of options, too", async () => {
    writeFileSync(at("options.yaml"), `model: DiT-Digits\nmodelConfig: ${at("config.json")}\n`);
    expect((await run(["train", "--config", at("options.yaml")])).code).toBe(2);
  });

  test("there are such commands", () => expect(withBoth.length).toBeGreaterThan(8));
});
