import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { float32 } from "../../src/array/ndarray.ts";
import { openDecoder } from "../../src/cli/decoder-options.ts";
import { cpuEngine } from "../../src/onnx/node-engine.ts";
import { plantVae } from "./tiny-vae.ts";

const folder = mkdtempSync(join(tmpdir(), "cli-decoder-"));
afterAll(() => rmSync(folder, { recursive: true }));
const vae = plantVae(join(folder, "vae"));
const silent = () => {};
const latents = float32(
  Float32Array.from({ length: 3 * 4 * 36 }, (_, i) => Math.sin(i)),
  [3, 4, 6, 6],
);

test("a decoder builds its session once, for all pictures until it is let go", async () => {
  const engine = cpuEngine({ threads: 1 });
  const decoder = await openDecoder({ vae, tiled: false }, { inChannels: 4, inputSize: 6 }, engine, silent);
  expect([decoder!.side, engine.counters.sessions]).toEqual([12, 0]);
  const all = await decoder!.decode(latents);
  expect(all.shape).toEqual([3, 1, 12, 12]);
  const { sessions } = engine.counters;
  expect([...(await decoder!.decode(latents.rows(1, 2))).data]).toEqual([...all.rows(1, 2).data]);
  expect(engine.counters.sessions).toBe(sessions);
  const bytes = readFileSync(join(vae, "diffusion_pytorch_model.safetensors"));
  expect(await decoder!.sha256()).toBe(createHash("sha256").update(bytes).digest("hex"));
  await decoder!.release();
});

test("without --vae there is none, and one of other latents is refused", async () => {
  const engine = cpuEngine({ threads: 1 });
  expect(await openDecoder({ vae: undefined, tiled: false }, { inChannels: 4, inputSize: 6 }, engine, silent)).toBe(
    undefined,
  );
  await expect(openDecoder({ vae, tiled: false }, { inChannels: 16, inputSize: 6 }, engine, silent)).rejects.toThrow(
    /expected an autoencoder of the model's 16-channel latents, found 4 channels/,
  );
});
