/** Exported files on the WebGPU provider give what they give on the CPU, with any batch and weights in either precision. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { afterAll, expect, test } from "vitest";
import { NDArray } from "../../src/array/ndarray.ts";
import { runFile } from "../../src/engine/onnx/session.ts";
import { relativeDifference } from "../../src/export/check.ts";
import { denoiserPart } from "../../src/export/denoiser-part.ts";
import { conditionPart, tokenDenoiserPart } from "../../src/export/token-parts.ts";
import type { MarConfig } from "../../src/models/mar/config.ts";
import { type Row, rows } from "../conformance/models.ts";
import { exported, exportFolder } from "./exported.ts";

const folder = exportFolder();
afterAll(() => rmSync(folder, { recursive: true }));

const settings = { batch: undefined, guidance: true, cfgChannels: 2 };

function partsOf({ model, process }: Row) {
  if (process.kind !== "tokens") return [denoiserPart(model, process, settings)];
  const config = model.config as unknown as MarConfig;
  return [conditionPart(config, settings), tokenDenoiserPart(config, process, settings)];
}

const cases = rows.flatMap((row) => (["float32", "float16"] as const).map((dtype) => [row.name, dtype, row] as const));

test.each(cases)("%s, %s", async (name, dtype, row) => {
  const out = join(folder, `${name} ${dtype}`);
  await exported(row, out, { dtype });
  for (const part of partsOf(row)) {
    const file = join(out, `${part.name}.onnx`);
    const session = await ort.InferenceSession.create(file, { executionProviders: ["webgpu"], logSeverityLevel: 3 });
    for (const count of [1, 4]) {
      const feeds = part.example(count);
      const expected = await runFile(file, feeds);
      const tensors = Object.entries(feeds).map(([input, { dtype, data, shape }]) => {
        return [input, new ort.Tensor(dtype as "float32", data as Float32Array, shape)] as const;
      });
      for (const [output, { dims, data }] of Object.entries(await session.run(Object.fromEntries(tensors)))) {
        const found = new NDArray("float32", dims, data as Float32Array<ArrayBuffer>);
        expect(relativeDifference(found, expected[output]!), output).toBeLessThan(1e-5);
      }
    }
    await session.release();
  }
});
