/** Files as people's tools write them give the images of the plain file, byte for byte, or one sentence that says what to do. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openImageSet } from "../../src/evaluation/images/open-image-set.ts";
import { run } from "../cli/program-run.ts";

const faults = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "faults-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Samples from a file; `bytes` are those of `samples.safetensors`. */
async function sampled(name: string, ...more: readonly string[]) {
  const out = join(folder, `${name}${more.join("")}`.replaceAll(".", "-")); // a folder that is not called like a file
  const given = ["--model-config", faults("tiny.json"), "--count", "2", "--steps", "ddim5", "--seed", "0"];
  const ran = await run(["sample", faults(name), ...given, "--cfg", "2", "--out", out, ...more]);
  return { ...ran, bytes: ran.code === 0 ? readFileSync(join(out, "samples.safetensors")) : undefined };
}

let plain: Buffer;
beforeAll(async () => {
  plain = (await sampled("tiny.safetensors")).bytes!;
});

describe("drawn:", () => {
  test.each([
    "tiny.pt",
    "averaged-model.pt",
    "ema-pytorch.pt",
    "one-block-compiled.pt",
    "checkpoint-wrapped.pt",
    "lightning.ckpt",
    "multistep-lr.pt",
    "tensor-with-attribute.pt",
    "version-and-date.pt",
    "with-uint32-counter.safetensors",
    "null-metadata.safetensors",
    "unaligned.safetensors",
  ])("%s", async (name) => {
    const { code, stderr, bytes } = await sampled(name);
    expect(stderr).not.toMatch(/tinyfusion: /);
    expect([code, bytes?.equals(plain)]).toEqual([0, true]);
  });

  test("ema-pytorch's own weights are others, and are taken when they are asked for", async () => {
    const { code, stderr } = await sampled("ema-pytorch.pt", "--weights", "model");
    expect(stderr).toContain('removed from names of weights: "online_model." (52)');
    expect([code, stderr]).toEqual([1, expect.stringContaining("make the model diverge")]); // each weight is one more
  });
});

test.each(["flow-match", "zero-snr"])("the scheduler %s in a folder of diffusers is refused by name", async (name) => {
  const out = join(folder, `diffusers-${name}`);
  const config = ["--model-config", faults("tiny.json")];
  const converted = await run(["convert", faults("tiny.pt"), ...config, "--to", "diffusers", "--out", out]);
  expect(converted.code, converted.stderr).toBe(0);
  copyFileSync(faults(`scheduler-${name}.json`), join(out, "scheduler", "scheduler_config.json"));
  for (const command of [
    ["sample", out, "--out", join(folder, "x")],
    ["convert", out, "--out", join(folder, "x.pt")],
  ]) {
    const { code, stderr } = await run(command);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/_class_name is "FlowMatch|rescale_betas_zero_snr is true/),
    ]);
  }
});

test("a model without a class for none is drawn without guidance, which is refused in one sentence", async () => {
  const guided = await sampled("no-null-row.pt");
  expect(guided.code).toBe(1);
  expect(guided.stderr).toMatch(/tinyfusion: guidance of 2 needs a class for "no label", .*; use --cfg 1\n$/);
  expect(await sampled("no-null-row.pt", "--cfg", "1")).toMatchObject({ code: 0 });
});

test("finite weights whose output is no image are refused in one sentence", async () => {
  const { code, stderr } = await sampled("huge-output.pt");
  expect([code, stderr.match(/^tinyfusion: /gm)?.length]).toEqual([1, 1]);
});

test("a moving average without names is refused by what it is, with what to save instead", async () => {
  const { code, stderr } = await sampled("unnamed-ema.pt");
  expect(code).toBe(1);
  expect(stderr).toContain("its moving average is a list (shadow_params) of 52 tensors without names");
  expect(stderr).toContain("as the state of diffusers' EMAModel is");
  expect(stderr).toContain("save model.state_dict()");
});

test("what a file names besides is shown, and a type that is not read is named", async () => {
  const inspected = async (name: string) => (await run(["inspect", faults(name)])).stdout;
  expect(await inspected("version-and-date.pt")).toMatch(
    /placeholders +torch\.torch_version\.TorchVersion, datetime\.datetime/,
  );
  expect(await inspected("with-uint32-counter.safetensors")).toMatch(/not read: step +has an unknown dtype "U32"/);
});

test("a weight of a type that is not read is named where the model needs it, and others are left aside by convert", async () => {
  const text = readFileSync(faults("tiny.safetensors")).toString("latin1");
  const needed = join(folder, "needed.safetensors");
  writeFileSync(needed, Buffer.from(text.replace(/("pos_embed": *\{"dtype": *")F32/, "$1U32"), "latin1"));
  const config = ["--model-config", faults("tiny.json")];
  const { code, stderr } = await run(["sample", needed, ...config, "--out", join(folder, "needed")]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/missing \(1\): pos_embed .*; not read: pos_embed, which has an unknown dtype "U32"/);
  const counted = faults("with-uint32-counter.safetensors");
  const converted = await run(["convert", counted, ...config, "--out", join(folder, "converted.safetensors")]);
  expect([converted.code, converted.stderr]).toEqual([
    0,
    expect.stringContaining("not read: step, which has an unknown"),
  ]);
});

test("weights are asked for by a name, too, and a name that is none is refused with what there is", async () => {
  const asked = async (name: string, wanted: string) => run(["inspect", faults(name), "--weights", wanted]);
  expect((await asked("ema-pytorch.pt", "online_model")).code).toBe(0);
  const unknown = await asked("lightning.ckpt", "teacher");
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining('called teacher, found "state_dict"')]);
  const plainFile = await asked("tiny.safetensors", "teacher");
  expect([plainFile.code, plainFile.stderr]).toEqual([1, expect.stringContaining("holds no weights called teacher")]);
});

test.each([
  ["uint32-labels", Array.from({ length: 64 }, (_, i) => i % 10)],
  ["names-beside", undefined],
  ["object-beside", undefined],
] as const)("images of %s.npz are read", async (name, labels) => {
  const images = await openImageSet(faults(`${name}.npz`));
  expect([images.count, images.labels && [...images.labels]]).toEqual([64, labels]);
  expect((await images.read(60, 4)).shape).toEqual([4, 28, 28, 3]);
});
