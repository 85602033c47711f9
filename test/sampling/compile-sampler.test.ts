import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Process, processOf, scheduleOf } from "../../src/diffusion/process.ts";
import { respace } from "../../src/diffusion/schedule.ts";
import { firstStepWarning, steadySteps } from "../../src/sampling/compile-sampler.ts";
import { plantImages, plantModel, run, tinyConfig } from "../cli/program-run.ts";

const cosine = { kind: "gaussian", schedule: "squaredcos_cap_v2", steps: 1000 } as const;
const linear = { ...cosine, schedule: "linear" } as const;
const tokens = processOf("tokens");

describe("a first step from which noise is to be expected", () => {
  test.each<[string, Process, object, string]>([
    [
      "even steps",
      cosine,
      { steps: "25" },
      "`steps` 25 begins at timestep 999, where alphaBar is 2.4e-9 .* by 20291.* use `steps` ddim25, or `clip`",
    ],
    ["even steps of DDPM", cosine, { steps: "250", sampler: "ddpm" }, "`steps` 250 .* use `steps` ddim250, or `clip`"],
    ["even steps of DPM-Solver++", cosine, { steps: "12", sampler: "dpm++2m" }, "use `steps` ddim12, or"],
    ["sections", cosine, { steps: "5,10,10" }, "`steps` 5,10,10 begins at timestep 999"],
    ["all steps", cosine, { steps: "1000" }, "use `steps` ddim250, or"],
    ["all steps as DDIM's", { ...cosine, steps: 50 }, { steps: "ddim50" }, "begins at timestep 49"],
    [
      "the head steps of the original",
      tokens,
      { headSteps: "100" },
      "`headSteps` 100 begins .* use `headSteps` ddim100$",
    ],
  ])("is named: %s", (_, process, settings, message) => {
    expect(firstStepWarning(process, settings)).toMatch(new RegExp(message));
  });

  test.each<[string, Process, object]>([
    ["the default", cosine, {}],
    ["as many of DDIM", cosine, { steps: "ddim250", sampler: "ddpm" }],
    ["a clipped prediction", cosine, { steps: "25", clip: true }],
    ["the linear schedule", linear, { steps: "1000" }],
    ["the linear schedule of few steps", { ...linear, steps: 50 }, { steps: "50" }],
    ["a flow", processOf("flow"), { steps: "1000" }],
    ["head steps of DDIM", tokens, { headSteps: "ddim100", steps: "256" }],
  ])("is not: %s", (_, process, settings) => {
    expect(firstStepWarning(process, settings)).toBeUndefined();
  });
});

test.each([
  [cosine, 25, "ddim25"],
  [linear, 25, "ddim25"],
  [{ ...cosine, steps: 10 }, 25, "ddim10"],
  [{ ...cosine, steps: 100 }, 100, "ddim50"],
  [{ ...cosine, steps: 30 }, 25, "ddim15"],
  [{ ...cosine, steps: 1 }, 25, "1"],
])("steps that begin where a prediction can be trusted: of %o at most %d are %s", (process, most, expected) => {
  const steps = steadySteps(process, most);
  expect(steps).toBe(expected);
  if (steps !== "1") expect(respace(scheduleOf(process), steps).alphasCumprod.at(-1)).toBeGreaterThan(5e-6);
});

describe("on the cosine schedule", () => {
  const folder = mkdtempSync(join(tmpdir(), "first-step-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const at = (name: string) => join(folder, name);
  const model = at("cosine.safetensors");
  beforeAll(() => plantModel(model, { ...tinyConfig, depth: 2 }, { process: cosine }));
  const warned = /^--steps 3 begins at timestep 999, .* use --steps ddim3, or --clip/m;

  test.each<[string, string[]]>([
    ["sample", [model, "--count", "2", "--out", at("sample")]],
    ["generate", [model, "--count", "20", "--out", at("set")]],
    ["compare", [model, model, "--count", "2", "--out", at("pair.png")]],
    ["evaluate", [model, "--count", "20", "--out", at("evaluation"), "--quick"]],
    ["bench-model", [model, "--batches", "2", "--rounds", "1"]],
    ["export", [model, "--onnx", "--out", at("exported")]],
    ["pareto", [model, "--count", "20", "--out", at("pareto"), "--dry-run"]],
  ])(
    "%s warns of even steps, and not of DDIM's",
    async (command, options) => {
      const { code, stderr } = await run([command, ...options, "--steps", "3"]);
      expect(code, stderr).toBe(0);
      expect(stderr).toMatch(warned);
      if (command === "evaluate")
        expect(readFileSync(at("evaluation/report.html"), "utf8")).toContain("begins at timestep 999");
      if (options.includes("--out")) rmSync(options[options.indexOf("--out") + 1]!, { recursive: true, force: true });
      const other = await run([command, ...options, "--steps", "ddim3"]);
      expect(other.code, other.stderr).toBe(0);
      expect(other.stderr).not.toContain("alphaBar");
    },
    60_000,
  );

  test("training samples are those of steps that begin lower", async () => {
    const common = ["--steps", "2", "--batch-size", "2", "--threads", "1", ...plantImages(folder)];
    const trained = await run(["train", "--init", model, "--out", at("run"), ...common, "--sample-every", "2"]);
    expect(trained.code, trained.stderr).toBe(0);
    const ema = at("run/checkpoints/step-00000002/ema.safetensors");
    const { code } = await run([
      "sample",
      ema,
      "--count",
      "40",
      "--steps",
      "ddim25",
      "--out",
      at("same"),
      "--threads",
      "1",
    ]);
    expect(code).toBe(0);
    expect(readFileSync(at("run/samples/step-00000002.png")).equals(readFileSync(at("same/grid.png")))).toBe(true);
  });
});
