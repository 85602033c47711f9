import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { float32 } from "../../src/array/ndarray.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { openDecoder } from "../../src/tasks/decoder-settings.ts";
import { plantModel, run, tinyConfig } from "../cli/program-run.ts";
import { plantVae } from "../cli/tiny-vae.ts";
import { countedEngine } from "../engine/counted-engine.ts";

const folder = mkdtempSync(join(tmpdir(), "cli-decoder-"));
afterAll(() => rmSync(folder, { recursive: true }));
const vae = plantVae(join(folder, "vae"));
const silent = () => {};
const latents = float32(
  Float32Array.from({ length: 3 * 4 * 36 }, (_, i) => Math.sin(i)),
  [3, 4, 6, 6],
);

test("a decoder builds its session once, for all pictures until it is let go", async () => {
  const engine = countedEngine(cpuEngine({ threads: 1 }));
  const decoder = await openDecoder({ vae, tiled: false }, { inChannels: 4, inputSize: 6 }, engine, silent);
  expect([decoder!.side, engine.counters.programs]).toEqual([12, 0]);
  const all = await decoder!.decode(latents);
  expect(all.shape).toEqual([3, 1, 12, 12]);
  const { programs } = engine.counters;
  expect([...(await decoder!.decode(latents.rows(1, 2))).data]).toEqual([...all.rows(1, 2).data]);
  expect(engine.counters.programs).toBe(programs);
  const bytes = readFileSync(join(vae, "diffusion_pytorch_model.safetensors"));
  expect(await decoder!.sha256()).toBe(createHash("sha256").update(bytes).digest("hex"));
  await decoder!.release();
});

test("without --vae there is none, and one of other latents is refused", async () => {
  const engine = countedEngine(cpuEngine({ threads: 1 }));
  expect(await openDecoder({ vae: undefined, tiled: false }, { inChannels: 4, inputSize: 6 }, engine, silent)).toBe(
    undefined,
  );
  await expect(openDecoder({ vae, tiled: false }, { inChannels: 16, inputSize: 6 }, engine, silent)).rejects.toThrow(
    /expected an autoencoder of the model's 16-channel latents, found 4 channels/,
  );
});

const opening = (folder: string, inputSize: number) =>
  openDecoder({ vae: folder, tiled: true }, { inChannels: 4, inputSize }, cpuEngine({ threads: 1 }), silent);

test("tiles that a quarter does not divide are refused when the decoder is opened, if the images need tiles", async () => {
  const odd = plantVae(join(folder, "odd"), { sample_size: 12 });
  await expect(opening(odd, 7)).rejects.toThrow(InputError);
  await expect(opening(odd, 7)).rejects.toThrow(/sampleSize 12 is no multiple of 8; compute untiled, without `tiled`/);
  expect((await opening(odd, 6))!.side).toBe(12); // one tile, which is the image
  const even = plantVae(join(folder, "even"), { sample_size: 8 });
  const decoder = (await opening(even, 6))!;
  expect((await decoder.decode(latents)).shape).toEqual([3, 1, 12, 12]);
  await decoder.release();
});

test("an autoencoder that makes no pictures is refused when it is opened", async () => {
  const five = plantVae(join(folder, "five"), { out_channels: 5 });
  await expect(opening(five, 6)).rejects.toThrow(
    /`vae` .*five: expected .* images of 1 or 3 channels, found 5 channels/,
  );
});

test.each([
  "sample",
  "generate",
  "compare",
  "evaluate",
  "pareto",
])("%s refuses --tiled before anything is sampled, and --tiled without an autoencoder", async (command) => {
  const model = await plantModel(join(folder, "latents.safetensors"), { ...tinyConfig, inputSize: 14, inChannels: 4 });
  const models = command === "compare" ? [model, model] : [model];
  const out = join(folder, command === "compare" ? "pair.png" : command);
  const call = [command, ...models, "--count", "20", "--out", out, "--features", "digits", "--tiled"];
  const argv = call.filter(
    (_, i) => ["evaluate", "pareto"].includes(command) || (i !== call.length - 3 && i !== call.length - 2),
  );
  const odd = await run([...argv, "--vae", plantVae(join(folder, `odd-${command}`), { sample_size: 12 })]);
  expect([odd.code, odd.stdout]).toEqual([1, ""]);
  expect(odd.stderr).toMatch(/^tinyfusion: tiles overlap by a quarter.*\n$/);
  const alone = await run(argv);
  expect([alone.code, alone.stderr]).toEqual([
    2,
    expect.stringMatching(/^tinyfusion: --tiled needs an autoencoder; .*\n$/),
  ]);
  expect(existsSync(out)).toBe(false);
});
