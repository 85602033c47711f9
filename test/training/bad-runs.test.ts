/** Runs that cannot go well: each says what is wrong in one message, exits with its code and damages nothing. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { loadModel } from "../../src/weights/model-file.ts";
import { BuiltCli, type Ended } from "./built-cli.ts";

const cli = new BuiltCli();
afterAll(() => cli.remove());

/** What is printed besides progress: one line, without a stack. */
function message({ stderr }: Ended): string {
  const lines = stderr
    .trimEnd()
    .split("\n")
    .filter((line) => !/^(step \d|train: )/.test(line));
  expect(lines.length, stderr).toBe(1);
  return lines[0]!;
}

describe("a loss that is not finite", () => {
  const steps = ["--steps", "12", "--save-every", "2"];

  it("stops the run with the step, the terms and the last good checkpoint, which can be read", async () => {
    // Each update moves every weight by 300: the activations overflow float32 a few steps later.
    const ended = await cli.run(cli.train("steep", ...steps, "--learning-rate", "300"));
    expect(ended.code).toBe(1);
    const found = /step (\d+): the loss or its gradient is not finite \((.*)\)\. Last good checkpoint: (\S+)\. /.exec(
      message(ended),
    );
    const [, step, terms, checkpoint] = found!;
    expect(terms).toMatch(/loss (NaN|Infinity), mse .*, vb .*, gradientNorm (NaN|Infinity)/);
    expect(checkpoint).toBe(cli.at("steep/checkpoints", cli.checkpoints("steep").at(-1)!));
    expect(Number(/\d+$/.exec(checkpoint!)![0])).toBeLessThan(Number(step));
    for (const { data } of (await loadModel(`${checkpoint}/weights.safetensors`)).tensors.values()) {
      expect(data.every(Number.isFinite)).toBe(true);
    }
    expect(cli.metrics("steep").map((line) => line.step)).toEqual(
      Array.from({ length: Number(step) - 1 }, (_, k) => k + 1),
    );
  }, 20_000);

  it("does what it advises: --on-nan skip resumes the stopped run, --init starts one with a lower rate", async () => {
    const skipping = await cli.run(cli.train("steep", ...steps, "--learning-rate", "300", "--on-nan", "skip"));
    expect(skipping.code, skipping.stderr).toBe(0);
    expect(skipping.stderr).toMatch(/resumed at step \d+ of 12/);
    expect(skipping.stderr).toMatch(/\d+ steps were skipped/);
    const again = await cli.run(cli.train("steep-again", ...steps, "--learning-rate", "300"));
    const weights = /--init (\S+)\.$/.exec(message(again))![1]!;
    const { code, stderr } = await cli.run([
      "train",
      "--out",
      cli.at("gentle"),
      "--init",
      weights,
      ...cli.common,
      ...steps,
      ...["--learning-rate", "1e-6", "--on-nan", "skip"],
    ]);
    expect(code, stderr).toBe(0);
  }, 30_000);

  it("says so if there is no checkpoint yet", async () => {
    const ended = await cli.run(cli.train("cliff", ...steps, "--learning-rate", "1e30"));
    expect(message(ended)).toContain("step 2: the loss or its gradient is not finite");
    expect(message(ended)).toContain("Last good checkpoint: none.");
    expect(cli.checkpoints("cliff")).toEqual([]);
  }, 20_000);

  it("is counted and reported, and the run goes on, with --on-nan skip", async () => {
    const { code, stderr } = await cli.run(
      cli.train("skipped", ...steps, "--learning-rate", "1e30", "--on-nan", "skip"),
    );
    expect(code, stderr).toBe(0);
    expect(stderr).toContain("11 steps were skipped: their loss was not finite");
    const lines = cli.metrics("skipped");
    expect(lines.map(({ skipped = 0 }) => skipped)).toEqual(Array.from({ length: 12 }, (_, k) => k));
    expect(lines.map((line) => "loss" in line)).toEqual([true, ...new Array(11).fill(false)]);
    // The one good update has been made; the skipped ones have changed nothing.
    for (const { data } of (
      await loadModel(cli.at("skipped/checkpoints/step-00000012/weights.safetensors"))
    ).tensors.values()) {
      expect(data.every((x) => !Number.isNaN(x))).toBe(true);
    }
  }, 20_000);
});

describe("a mistake in the call exits with 2 and starts nothing:", () => {
  const config = (name: string, text: string): string[] => {
    writeFileSync(cli.at(name), text);
    return ["--config", cli.at(name)];
  };
  const calls: Readonly<Record<string, readonly [() => string[], RegExp]>> = {
    "an unknown key in the config file": [
      () => config("unknown.yaml", "learning-rat: 1e-3\n"),
      /unknown\.yaml: unknown key learning-rat; did you mean learningRate\?/,
    ],
    "a key in the config file that every object has": [
      () => config("constructor.yaml", "constructor: 1\n"),
      /constructor\.yaml: unknown key constructor/,
    ],
    "a wrong value in the config file": [
      () => config("wrong.yaml", "batch-size: many\n"),
      /--batch-size expects a whole number, got many/,
    ],
    "a config file that is no list of options": [
      () => config("list.yaml", "- steps\n"),
      /list\.yaml: expected option: value lines/,
    ],
    "a config file that is not YAML": [() => config("broken.yaml", "steps: [1,\n"), /broken\.yaml: not YAML/],
    "zero steps": [() => ["--steps", "0"], /--steps expects at least 1, got 0/],
    "a negative batch": [() => ["--batch-size", "-4"], /--batch-size expects at least 1, got -4/],
    "an unknown choice": [
      () => ["--schedule", "cubic"],
      /--schedule expects one of linear, squaredcos_cap_v2, got cubic/,
    ],
    "an unknown flag": [() => ["--stepz", "5"], /unknown option '--stepz'.*--steps/s],
    "images without labels": [() => ["--data", cli.at("images.idx")], /--data FILE needs --labels FILE/],
  };

  it.each(Object.keys(calls))("%s", async (title) => {
    const [options, expected] = calls[title]!;
    const out = ["--out", cli.at("never"), "--model-config", cli.at("tiny.json")];
    const { code, stderr } = await cli.run(["train", ...out, ...options()]);
    expect(stderr).toMatch(expected);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(code).toBe(2);
    expect(existsSync(cli.at("never"))).toBe(false);
  }, 10_000);

  it("a run without a folder", async () => {
    const ended = await cli.run(["train", "--model-config", cli.at("tiny.json"), ...cli.common]);
    expect(ended.code).toBe(2);
    expect(message(ended)).toMatch(/--out is required/);
  });
});

it("flags win over the config file, whose keys may be written either way", async () => {
  writeFileSync(cli.at("plan.yaml"), "steps: 9\nbatch-size: 4\nlearningRate: 0.002\n");
  const { code, stderr } = await cli.run([...cli.train("planned", "--steps", "2"), "--config", cli.at("plan.yaml")]);
  expect(code, stderr).toBe(0);
  const [line] = cli.metrics("planned");
  expect(line).toMatchObject({ step: 1, images: 6, learningRate: 0.002 });
}, 10_000);

/** A disk of `size`, or why there is none. */
function smallDisk(path: string, size: string): string | undefined {
  mkdirSync(path, { recursive: true });
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path], { stdio: "pipe" });
    return undefined;
  } catch (error) {
    return `mounting a small disk needs root on Linux: ${(error as Error).message.split("\n")[0]}`;
  }
}

it("a disk that gets full while saving gives one message, keeps the last checkpoint, and the run goes on when there is room", async ({
  skip,
}) => {
  const disk = cli.at("disk");
  // One checkpoint of the tiny model takes about 450 kB: the first fits, the second does not.
  const reason = smallDisk(disk, "700k");
  skip(reason !== undefined, reason);
  try {
    const args = cli.train("disk/run", "--steps", "6", "--save-every", "2");
    const ended = await cli.run(args);
    expect(ended.code).toBe(1);
    expect(message(ended)).toMatch(/^tinyfusion: cannot write .*step-00000004.*: the disk is full; free some space/);
    expect(cli.checkpoints("disk/run")).toEqual(["step-00000002"]);
    const left = readdirSync(disk, { recursive: true }).filter((name) => String(name).includes(".tmp-"));
    expect(left).toEqual([]);
    execFileSync("mount", ["-o", "remount,size=4m", disk]);
    const resumed = await cli.run(args);
    expect(resumed.stderr).toContain("resumed at step 2 of 6");
    const whole = await cli.run(cli.train("roomy", "--steps", "6", "--save-every", "2"));
    expect(whole.code, whole.stderr).toBe(0);
    expect(cli.results("disk/run")).toEqual(cli.results("roomy"));
    expect(cli.metrics("disk/run")).toEqual(cli.metrics("roomy"));
  } finally {
    execFileSync("umount", [disk]);
  }
}, 30_000);
