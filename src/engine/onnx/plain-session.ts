/** An ONNX file in ONNX Runtime as any program would run it: from its path, with default options on the CPU. */
import * as ort from "onnxruntime-node";
import { type DType, NDArray } from "../../array/ndarray.ts";
import type { NamedArrays } from "../engine.ts";

/** Runs the file once on these inputs and gives all its outputs. */
export async function runFile(path: string, feeds: NamedArrays): Promise<Record<string, NDArray>> {
  const session = await ort.InferenceSession.create(path);
  try {
    const tensors = Object.entries(feeds).map(([name, { dtype, data, shape }]) => {
      return [name, new ort.Tensor(dtype as "float32", data as Float32Array, shape)] as const;
    });
    const results = await session.run(Object.fromEntries(tensors));
    const arrays = Object.entries(results).map(([name, { type, dims, data }]) => {
      return [name, new NDArray(type as DType, dims, data as Float32Array) as NDArray] as const;
    });
    return Object.fromEntries(arrays);
  } finally {
    await session.release();
  }
}
