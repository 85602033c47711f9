import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { modelCost } from "../../src/evaluation/speed/model-cost.ts";
import { modelOf } from "../../src/models/registry.ts";
import { plantModel, run, tinyConfig } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "cli-bench-"));
afterAll(() => rmSync(folder, { recursive: true }));

const [deep, shallow] = [join(folder, "deep.safetensors"), join(folder, "shallow.safetensors")];
const mar = join(folder, "mar.safetensors");
const marConfig = {
  ...{ family: "mar", inputSize: 4, patchSize: 2, inChannels: 1, numClasses: 2, bufferSize: 1 },
  ...{ encoderDepth: 1, encoderSize: 8, encoderHeads: 2, decoderDepth: 1, decoderSize: 12, decoderHeads: 2 },
  ...{ denoiserDepth: 1, denoiserSize: 4 },
};
const quick = ["--threads", "1", "--steps", "ddim2", "--rounds", "1", "--batches", "2,3"];

beforeAll(async () => {
  await plantModel(deep);
  await plantModel(shallow, { ...tinyConfig, depth: 2 }, { weights: "raw" });
  await plantModel(mar, marConfig, { process: { kind: "tokens", schedule: "linear", steps: 50, copies: 1 } });
});

describe("tinyfusion bench-model", () => {
  test("prints the counts, a row for each batch, and what an iteration is", async () => {
    const { code, stdout, stderr } = await run(["bench-model", deep, ...quick, "--blocks", "1,3"]);
    expect([code, stderr]).toEqual([0, expect.stringMatching(/batch 3: round 1 of 1\n/)]);
    const { parameters } = modelCost(modelOf({ ...tinyConfig, depth: 2 }));
    expect(stdout).toMatch(/deep\.safetensors: dit, 2 of 4 blocks, averaged \(EMA\) weights\n/);
    expect(stdout).toContain(`parameters      ${parameters.toLocaleString("en-US")}\n`);
    expect(stdout).toMatch(/one image {7}\S+ GMACs: ddim, 2 denoiser evaluations, guidance 2: two halves\n/);
    expect(stdout).toMatch(/\n {6}2 +[\d.e+]+ +[\d.e+]+ +.* MB\n {6}3 +[\d.e+]+ /);
    expect(stdout).toContain("An iteration is one denoiser evaluation of a whole batch, with both halves of guidance");
  });

  test("as JSON, in turn with another model", async () => {
    const { code, stdout } = await run(["bench-model", deep, "--against", shallow, ...quick, "--json"]);
    expect(code).toBe(0);
    const { models, ratios, machine, rounds, versions } = JSON.parse(stdout);
    expect(models.map(({ blocks, weights, macs }: Record<string, unknown>) => [blocks, weights, macs])).toEqual([
      ["4", "ema", modelCost(modelOf(tinyConfig)).macs],
      ["2", "raw", modelCost(modelOf({ ...tinyConfig, depth: 2 })).macs],
    ]);
    expect(ratios.map(({ batch }: { batch: number }) => batch)).toEqual([2, 3]);
    const [first, second] = models.map(({ speeds }: { speeds: { imagesPerSecond: number }[] }) => speeds[0]);
    expect(ratios[0].ratio).toBeCloseTo(first.imagesPerSecond / second.imagesPerSecond, 6);
    expect([machine.threads, rounds, typeof versions.tinyfusion]).toEqual([1, 1, "string"]);
  });

  test("of a MAR, whose head has as many rows for few images, takes the arithmetic of each batch", async () => {
    const argv = ["bench-model", mar, "--threads", "1", "--steps", "2", "--head-steps", "ddim2", "--rounds", "1"];
    const asked = [...argv, "--batches", "2,8"];
    const asJson = await run([...asked, "--json"]);
    expect(asJson.code, asJson.stderr).toBe(0);
    const { models } = JSON.parse(asJson.stdout);
    const [few, many] = models[0].speeds.map(({ macsPerImage }: { macsPerImage: number }) => macsPerImage / 1e9);
    expect(few).toBeGreaterThan(1.5 * many);
    const { stdout } = await run(asked);
    expect(stdout).toMatch(
      /head .* runs per batch, in a batch of 2\n {2}one image .*, guidance 2: two halves, in a batch of 2\n/,
    );
    for (const [batch, giga] of [
      [2, few],
      [8, many],
    ]) {
      const row = stdout.split("\n").find((line) => line.startsWith(`${batch}`.padStart(7)));
      const [, , , secondsAnImage, gigaASecond] = row!.trim().split(/ +/).map(Number);
      expect((gigaASecond! * secondsAnImage!) / giga).toBeCloseTo(1, 1);
    }
  });

  test.each([
    [["--batches", "2,1"], 2, "--batches expects numbers of at least 2, as 2,8,32, got 1"],
    [["--batches", "2,,4"], 2, '--batches expects numbers of at least 2, as 2,8,32, got ""'],
    [["--blocks", "4"], 1, 'expected block numbers from 0 to 3, found "4"'],
    [["--temperature", "1"], 1, "--temperature does not apply to this model's sampler"],
    [["--against", "nowhere.safetensors"], 1, "nowhere.safetensors: no such file"],
  ])("refuses %o in one sentence", async (more, code, message) => {
    const ran = await run(["bench-model", deep, ...more]);
    expect([ran.code, ran.stderr]).toEqual([code, expect.stringContaining(message)]);
    expect(ran.stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  test("prints nothing when it is stopped", async () => {
    const ran = await run(["bench-model", deep, ...quick], AbortSignal.abort());
    expect([ran.code, ran.stdout]).toEqual([130, ""]);
  });
});
