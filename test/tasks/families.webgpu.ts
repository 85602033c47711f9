/** Training, pruning, recovery and sampling of each family as tasks: on a GPU what the CPU gives, to 1e-4. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { NDArray } from "../../src/array/ndarray.ts";
import { decodeSafetensors } from "../../src/formats/safetensors.ts";
import { finetune } from "../../src/tasks/finetune.ts";
import { prune } from "../../src/tasks/prune/prune.ts";
import { sample } from "../../src/tasks/sample.ts";
import { train } from "../../src/tasks/train.ts";
import { plantModel, tinyConfig } from "../cli/program-run.ts";
import "../golden/matchers.ts";

const folder = mkdtempSync(join(tmpdir(), "families-webgpu-"));
afterAll(() => rmSync(folder, { recursive: true }));

const gaussian = { kind: "gaussian", schedule: "squaredcos_cap_v2", steps: 100 } as const;
const mar = {
  ...{ family: "mar", inputSize: 28, patchSize: 14, inChannels: 1, numClasses: 10, bufferSize: 1 },
  ...{ encoderDepth: 2, encoderSize: 8, encoderHeads: 2, decoderDepth: 2, decoderSize: 8, decoderHeads: 2 },
  ...{ denoiserDepth: 1, denoiserSize: 8 },
};
const families = {
  dit: { config: { ...tinyConfig, family: "dit" }, process: gaussian, sampling: { steps: "4" } },
  sit: {
    config: { ...tinyConfig, family: "sit" },
    process: { kind: "flow", path: "linear", prediction: "velocity" },
    sampling: { steps: "4", sampler: "heun" },
  },
  mar: {
    config: mar,
    process: { kind: "tokens", schedule: "squaredcos_cap_v2", steps: 100, copies: 2 },
    sampling: { steps: "2", headSteps: "3" },
  },
} as const;

/** A small rate: AdamW moves a weight without gradient, as the keys' biases are, by the sign of its rounding. */
const short = { steps: 3, batchSize: 4, threads: 1, logEvery: 1, learningRate: 1e-5 } as const;
const devices = ["cpu", "webgpu"] as const;

async function valuesIn(file: string): Promise<Map<string, NDArray>> {
  return new Map(decodeSafetensors(new Uint8Array(readFileSync(file))).tensors);
}

async function expectSame(of: (device: (typeof devices)[number]) => string): Promise<void> {
  const [expected, found] = [await valuesIn(of("cpu")), await valuesIn(of("webgpu"))];
  expect([...found.keys()]).toEqual([...expected.keys()]);
  for (const [name, value] of expected) expect(found.get(name), name).toMatchGolden(value, { relative: 1e-4 });
}

describe.each(Object.entries(families))("%s", (family, { config, process, sampling }) => {
  const at = (name: string) => join(folder, family, name);
  const teacher = join(folder, `${family}.safetensors`);
  const both = async (work: (device: (typeof devices)[number]) => Promise<unknown>) => {
    for (const device of devices) await work(device);
  };

  const linesOf = (run: string) =>
    readFileSync(join(at(run), "metrics.jsonl"), "utf8")
      .trim()
      .split("\n");

  test("trains", async () => {
    await plantModel(teacher, config, { process } as never);
    await both((device) => train({ init: teacher, out: at(`train-${device}`), device, ...short }));
    await expectSame((device) => at(`train-${device}/checkpoints/step-00000003/ema.safetensors`));
    const [expected, found] = devices.map((device) => linesOf(`train-${device}`).map((line) => JSON.parse(line)));
    expect(found!.map(({ step }) => step)).toEqual([1, 2, 3]);
    found!.forEach((line, k) => {
      for (const name of ["loss", "gradientNorm"])
        expect(line[name] / expected![k][name], `${name} of step ${k + 1}`).toBeCloseTo(1, 4);
    });
  });

  test("learns which blocks to keep", async () => {
    const settings = { file: teacher, groups: "1:2", ...short };
    const found: number[][] = [];
    await both(async (device) => {
      const result = await prune({ ...settings, out: at(`prune-${device}`), device });
      if (!("decision" in result) || !result.decision) throw new Error("the search did not finish");
      found.push([...result.decision.kept]);
    });
    expect(found[1]).toEqual(found[0]);
    await expectSame((device) => at(`prune-${device}/pruned.safetensors`));
  });

  test("recovers by masked distillation", async () => {
    const student = at("prune-cpu/pruned.safetensors");
    await both((device) => finetune({ student, teacher, out: at(`tune-${device}`), device, ...short } as never));
    await expectSame((device) => at(`tune-${device}/checkpoints/step-00000003/ema.safetensors`));
  });

  test("samples", async () => {
    const settings = { file: at("tune-cpu/checkpoints/step-00000003/ema.safetensors"), count: 4, ...sampling };
    await both((device) => sample({ ...settings, out: at(`sample-${device}`), threads: 1, device } as never));
    await expectSame((device) => at(`sample-${device}/samples.safetensors`));
    const record = (device: string) => JSON.parse(readFileSync(at(`sample-${device}/samples.json`), "utf8"));
    expect([record("cpu").settings.device, record("webgpu").settings.device]).toEqual([undefined, "webgpu"]);
  });
});

test("a run of one device is resumed on another, with a warning", async () => {
  const out = join(folder, "resumed");
  const controller = new AbortController();
  const settings = { init: join(folder, "dit.safetensors"), out, ...short };
  await train({ ...settings, device: "cpu", signal: controller.signal, onProgress: () => controller.abort() });
  const notes: string[] = [];
  const { finished } = await train({ ...settings, device: "webgpu", onNote: (line) => notes.push(line) });
  expect(finished).toBe(true);
  expect(notes).toContainEqual(
    expect.stringMatching(/^resuming with another setting, so equal only to about 1e-4: device/),
  );
  await expectSame((device) =>
    device === "cpu"
      ? join(folder, "dit/train-cpu/checkpoints/step-00000003/ema.safetensors")
      : join(out, "checkpoints/step-00000003/ema.safetensors"),
  );
});
