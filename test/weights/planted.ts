/** Files of weights that take no room on the disk: right descriptions, and zeros nobody wrote. */
import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { type DType, NDArray, sizeOf, zeros } from "../../src/array/ndarray.ts";
import { encodeTorchStream } from "../../src/formats/torch/encode-torch.ts";
import type { WeightSpec } from "../../src/nn/params.ts";

export type NamedShape = Pick<WeightSpec, "name" | "shape">;

/** Safetensors of float16 zeros under these names and shapes. */
export function plantShapes(path: string, weights: readonly NamedShape[]): string {
  let end = 0;
  const entries = weights.map(({ name, shape }) => {
    const start = end;
    end += 2 * sizeOf(shape);
    return [name, { dtype: "F16", shape, data_offsets: [start, end] }];
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const file = openSync(path, "w");
  writeSync(file, Buffer.concat([length, header]));
  ftruncateSync(file, 8 + header.length + end);
  closeSync(file);
  return path;
}

/** A `.pt` of float16 zeros under these names and shapes, with holes where the zeros are. */
export async function plantTorch(path: string, weights: readonly NamedShape[]): Promise<string> {
  const dtype: DType = "float16";
  const largest = zeros(dtype, [Math.max(...weights.map(({ shape }) => sizeOf(shape)))]);
  const tensors = weights.map(({ name, shape }) => {
    const read = async () => new NDArray(dtype, shape, largest.data.subarray(0, sizeOf(shape)));
    return [name, { dtype, shape, read }] as const;
  });
  const file = openSync(path, "w");
  let at = 0;
  for await (const chunk of encodeTorchStream(new Map(tensors))) {
    if (chunk.buffer !== largest.data.buffer) writeSync(file, chunk, 0, chunk.length, at);
    at += chunk.length;
  }
  ftruncateSync(file, at);
  closeSync(file);
  return path;
}
