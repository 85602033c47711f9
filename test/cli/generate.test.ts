/** `tinyfusion generate` on the packaged models: one set of bits, whatever the batch size and however often it is killed. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openImageSet } from "../../src/evaluation/images/open-image-set.ts";
import { labelsFrom } from "../../src/sampling/sample-images.ts";
import { BuiltCli } from "../training/built-cli.ts";
import { contents, plantModel, readJsonFile, run, tinyConfig } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "generate-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...path: string[]) => join(folder, ...path);

const COUNT = 37;
const SHARD = 16;

/** The packaged models with few steps. */
const models: Readonly<Record<string, readonly string[]>> = {
  DiT: ["models/digits/teacher.safetensors", "--steps", "ddim2"],
  "DiT with noise": ["models/digits/teacher.safetensors", "--steps", "2", "--sampler", "ddpm", "--cfg", "1"],
  SiT: ["models/digits/sit-teacher.safetensors", "--steps", "2"],
  MAR: ["models/digits/mar-teacher.safetensors", "--steps", "3", "--head-steps", "ddim2"],
};

const common = ["--count", String(COUNT), "--shard-size", String(SHARD), "--threads", "1", "--seed", "3"];
const args = (model: string, out: string, ...more: string[]) => [
  ...["generate", ...models[model]!, ...common, "--out", out, ...more],
];

/** Every shard and the whole file, as text to compare. */
const bits = (out: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(out, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".npz"))
      .map((name) => [name, readFileSync(join(out, name)).toString("base64")]),
  );

const files = ["samples.npz", "shards/00000.npz", "shards/00001.npz", "shards/00002.npz"];

describe.each(Object.keys(models))("%s", (model) => {
  const out = at(`${model} 32`);

  test("draws shards, one file of all, and their description", async () => {
    const { code, stdout, stderr } = await run(args(model, out));
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(
      /samples\.npz\n37 images\n37 images sampled now at \S+ images\/s, averaged \(EMA\) weights, /,
    );
    expect(stderr).toMatch(/step 37\/37 {2}images 37 {2}images\/s \S+ {2}left 0:00\n$/);
    expect(Object.keys(bits(out)).sort()).toEqual(files);
    const set = await openImageSet(out);
    expect(set).toMatchObject({ count: COUNT, height: 28, width: 28 });
    const classes = Array.from({ length: 10 }, (_, label) => label);
    expect([...set.labels!]).toEqual([...labelsFrom({ mode: "uniform", classes, seed: 3 }, COUNT)]);
    const { data } = await set.read(0, COUNT);
    expect(new Set(data).size).toBeGreaterThan(100);
  }, 30_000);

  test.each([5, 8])("draws the same bits in batches of %d", async (batch) => {
    const other = at(`${model} ${batch}`);
    const { code, stderr } = await run(args(model, other, "--batch", String(batch)));
    expect(code, stderr).toBe(0);
    expect(bits(other)).toEqual(bits(out));
  }, 30_000);
});

describe("a command that is stopped", () => {
  let cli: BuiltCli;
  beforeAll(() => {
    cli = new BuiltCli();
  }, 60_000);
  afterAll(() => cli.remove());

  const started = (model: string, out: string, batch: string) => {
    const [path, ...rest] = args(model, cli.at(out), "--batch", batch).slice(1);
    return cli.start(["generate", cli.at(path!), ...rest]);
  };
  /** Resolves when a shard is there, or the command has ended. */
  async function shardOf(out: string, shard: string, { ended }: ReturnType<typeof started>): Promise<void> {
    let isOver = false;
    void ended.then(() => {
      isOver = true;
    });
    while (!isOver && !existsSync(cli.at(out, "shards", shard))) await pause(3);
  }

  test.each(["DiT", "SiT", "MAR"])("%s: by kill -9, twice, ends with the same bits", async (model) => {
    const out = `killed ${model}`;
    const kill = async (moment: (one: ReturnType<typeof started>) => Promise<void>) => {
      const one = started(model, out, "5");
      await moment(one);
      one.child.kill("SIGKILL");
      expect((await one.ended).code).toBeUndefined();
      expect(existsSync(cli.at(out, "samples.npz"))).toBe(false);
    };
    await kill((one) => shardOf(out, "00000.npz", one));
    await kill((one) => one.lines(/^step /, 1)); // after a batch of the shards that are missing
    const { code, stderr, stdout } = await started(model, out, "8").ended;
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/^generate: (16|32) of 37 images are in /m);
    expect(stdout).toMatch(/37 images\n(21|5) images sampled now/);
    expect(bits(cli.at(out))).toEqual(bits(at(`${model} 32`)));
    expect(contents(cli.at(out)).filter((name) => /\.tmp|lock-/.test(name))).toEqual([]);
  }, 60_000);

  test("by Ctrl-C keeps its shards, exits with 130 and says how to go on", async () => {
    const one = started("DiT", "interrupted", "5");
    await shardOf("interrupted", "00000.npz", one);
    one.child.kill("SIGINT");
    const { code, stdout, stderr } = await one.ended;
    expect(code, stderr).toBe(130);
    expect(stdout).toMatch(/^stopped with (16|32) of 37 images; the same command resumes\n/);
    const resumed = await started("DiT", "interrupted", "32").ended;
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(bits(cli.at("interrupted"))).toEqual(bits(at("DiT 32")));
  }, 30_000);
});

describe("a command line", () => {
  let digits: string;
  let latents: string;
  beforeAll(async () => {
    digits = await plantModel(at("digits.safetensors"));
    latents = await plantModel(at("latents.safetensors"), { ...tinyConfig, inChannels: 4, numClasses: 30 });
  });
  const tiny = ["--steps", "ddim2", "--threads", "1"];

  test("says in generate.json which model, weights, blocks and process drew", async () => {
    const out = at("facts");
    const some = ["--count", "6", "--blocks", "0,2", "--classes", "7,8", "--labels", "balanced", "--cfg", "1.5"];
    const { code, stderr } = await run(["generate", digits, ...tiny, ...some, "--out", out]);
    expect(code, stderr).toBe(0);
    const facts = readJsonFile(join(out, "generate.json"));
    expect(facts).toMatchObject({
      ...{ count: 6, shardSize: 256, image: [28, 28, 3], seed: 0, threads: 1, kept: [0, 2] },
      modelFile: { path: digits, weights: "ema", images: 12, config: { depth: 4 } },
      process: { kind: "gaussian", schedule: "linear", steps: 1000 },
      labels: { mode: "balanced", classes: [7, 8] },
      sampling: { steps: "ddim2", sampler: "ddim", eta: 0, clip: false, cfgScale: 1.5, cfgChannels: 1 },
    });
    expect([...(await openImageSet(out)).labels!]).toEqual([7, 8, 7, 8, 7, 8]);
    const again = await run(["generate", digits, ...tiny, ...some, "--out", out]);
    expect([again.code, again.stdout]).toEqual([0, `${join(out, "samples.npz")}\n6 images\n`]);
    const other = await run(["generate", digits, ...tiny, ...some, "--out", out, "--blocks", "0,3"]);
    expect([other.code, other.stderr]).toEqual([1, expect.stringContaining("(kept: was [0,2], now [0,3])")]);
  });

  test.each<[string, () => string[], string]>([
    ["latents without --vae", () => [latents], "expected --vae, as "],
    ["an unknown class", () => [digits, "--class", "12"], 'unknown label "12"'],
    ["steps that do not exist", () => [digits, "--steps", "ddim333"], "no whole stride"],
    ["a file that is not there", () => ["nowhere.safetensors"], "no such file"],
  ])("of %s is refused in one sentence, with nothing written", async (_, more, message) => {
    const out = at("refused");
    const { code, stderr } = await run(["generate", ...tiny, "--out", out, ...more()]);
    expect(code).toBe(1);
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(existsSync(out)).toBe(false);
  });
});
