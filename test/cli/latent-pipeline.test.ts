/** Pictures in a folder to pictures of a model: encode, train on the latents, prune, distil, sample through the autoencoder. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, expect, it } from "vitest";
import { encodeSafetensors } from "../../src/formats/safetensors.ts";
import { autoencoderSpecs } from "../../src/models/autoencoder/autoencoder.ts";
import { diffusersAutoencoderConfig } from "../../src/models/autoencoder/config.ts";
import { awakeWeights } from "../training/tiny.ts";
import { run } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "tinyfusion-latents-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...names: string[]) => join(folder, ...names);

const vaeConfig = {
  ...{ in_channels: 3, out_channels: 3, latent_channels: 4, layers_per_block: 1, norm_num_groups: 4, act_fn: "silu" },
  ...{ block_out_channels: [8, 12], sample_size: 32, scaling_factor: 0.5, _class_name: "AutoencoderKL" },
  down_block_types: ["DownEncoderBlock2D", "DownEncoderBlock2D"],
  up_block_types: ["UpDecoderBlock2D", "UpDecoderBlock2D"],
};
const modelConfig = {
  ...{ inputSize: 16, patchSize: 4, inChannels: 4, hiddenSize: 16, depth: 4, numHeads: 2, numClasses: 5 },
};

/** Two classes of photographs of odd sizes, in several formats, and one file that is none. */
async function plantPhotographs(): Promise<void> {
  for (const [i, format] of (["jpeg", "png", "webp", "png", "jpeg"] as const).entries()) {
    const [width, height] = [40 + 7 * i, 61 - 5 * i];
    const pixels = Uint8Array.from(
      { length: 3 * width * height },
      (_, k) => (k * (i + 3) + ((k / width) | 0) * 7) % 256,
    );
    mkdirSync(at("photographs", i % 2 === 0 ? "birds" : "cats"), { recursive: true });
    const image = sharp(pixels, { raw: { width, height, channels: 3 } }).toFormat(format);
    writeFileSync(at("photographs", i % 2 === 0 ? "birds" : "cats", `${i}.${format}`), await image.toBuffer());
  }
  writeFileSync(at("photographs", "birds", "broken.jpg"), "no picture");
}

it("goes from photographs to samples, without a special case", async () => {
  await plantPhotographs();
  mkdirSync(at("vae"));
  const weights = awakeWeights(autoencoderSpecs(diffusersAutoencoderConfig(vaeConfig)));
  writeFileSync(at("vae", "diffusion_pytorch_model.safetensors"), Buffer.concat([...encodeSafetensors(weights)]));
  writeFileSync(at("vae", "config.json"), JSON.stringify(vaeConfig));
  writeFileSync(at("model.json"), JSON.stringify(modelConfig));
  const quick = ["--threads", "1"];
  const ok = async (...argv: string[]) => {
    const ran = await run([...argv, ...quick]);
    expect(ran.code, `${argv[0]}: ${ran.stderr}`).toBe(0);
    return ran;
  };
  const encoding = [
    "--images",
    at("photographs"),
    "--vae",
    at("vae"),
    "--size",
    "32",
    "--flip",
    "--out",
    at("latents"),
  ];
  const encoded = await ok("encode", ...encoding);
  expect(encoded.stderr + encoded.stdout).toMatch(/broken\.jpg/);

  const data = ["--data", at("latents"), "--verify", "--batch-size", "2", "--steps", "2", "--log-every", "1"];
  await ok("train", "--model-config", at("model.json"), ...data, "--out", at("run"));
  const teacher = at("run", "checkpoints", "step-00000002", "ema.safetensors");
  await ok("prune", teacher, "--groups", "1:2", ...data, "--out", at("mask"));
  const student = at("mask", "pruned.safetensors");
  await ok("finetune", student, "--teacher", teacher, ...data, "--recompute", "--out", at("shallow"));
  const shallow = at("shallow", "checkpoints", "step-00000002", "ema.safetensors");
  const drawing = ["--vae", at("vae"), "--steps", "ddim2", "--count", "4", "--classes", "0,1"];
  await ok("sample", shallow, ...drawing, "--out", at("samples"));
  const { width, height } = await sharp(readFileSync(at("samples", "grid.png"))).metadata();
  expect([width, height]).toEqual([2 * 64 + 2, 2 * 64 + 2]);
}, 60_000);

it("refuses latents that are not the model's, and options that say nothing to them", async () => {
  expect(existsSync(at("latents", "index.json"))).toBe(true);
  writeFileSync(at("other.json"), JSON.stringify({ ...modelConfig, inputSize: 8 }));
  const other = await run(["train", "--model-config", at("other.json"), "--data", at("latents"), "--out", at("never")]);
  expect([other.code, other.stderr]).toEqual([1, expect.stringMatching(/4 × 16 × 16, the model takes 4 × 8 × 8/)]);
  writeFileSync(at("few.json"), JSON.stringify({ ...modelConfig, numClasses: 1 }));
  const few = await run(["train", "--model-config", at("few.json"), "--data", at("latents"), "--out", at("never")]);
  expect([few.code, few.stderr]).toEqual([1, expect.stringMatching(/2 classes, the model knows 1/)]);
  const labels = await run(["train", "--data", at("latents"), "--labels", at("model.json"), "--out", at("never")]);
  expect(labels.code).toBe(2);
  const verify = await run(["train", "--data", "digits", "--verify", "--out", at("never")]);
  expect(verify.code).toBe(2);
  expect(existsSync(at("never"))).toBe(false);
});
