/** Files as people's tools write them give the images of the plain file, byte for byte, or one sentence that says what to do. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run } from "../cli/program-run.ts";

const faults = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "faults-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Samples from a file; `bytes` are those of `samples.safetensors`. */
async function sampled(name: string, ...more: readonly string[]) {
  const out = join(folder, `${name}${more.join("")}`);
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
  ])("%s", async (name) => {
    const { code, stderr, bytes } = await sampled(name);
    expect(stderr).not.toMatch(/tinyfusion: /);
    expect([code, bytes?.equals(plain)]).toEqual([0, true]);
  });

  test("ema-pytorch's own weights are others, and are drawn when they are asked for", async () => {
    const { code, bytes } = await sampled("ema-pytorch.pt", "--weights", "model");
    expect([code, bytes?.equals(plain)]).toEqual([0, false]);
  });
});
