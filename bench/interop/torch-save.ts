/** Writes a `.pt` file and a safetensors twin, for `torch-load.py` to compare: `node --import tsx bench/interop/torch-save.ts DIR [--large]`. */
import { join } from "node:path";
import { allocate, bytesPerElement, type DType, NDArray, sizeOf } from "../../src/array/ndarray.ts";
import { uniforms } from "../../src/array/random.ts";
import { encodeSafetensors } from "../../src/formats/safetensors.ts";
import { encodeTorch } from "../../src/formats/torch/encode-torch.ts";
import { writeAtomically } from "../../src/storage/atomic-write.ts";

const dtypes: readonly DType[] = [
  "float32",
  "float64",
  "float16",
  "bfloat16",
  "int64",
  "int32",
  "int16",
  "int8",
  "uint8",
  "bool",
];

/** An array of random bytes, so NaNs and infinities too; booleans are 0 or 1. */
function randomArray(dtype: DType, shape: readonly number[], index: number): NDArray {
  const data = allocate(dtype, sizeOf(shape));
  const bytes = new Uint8Array(data.buffer, 0, sizeOf(shape) * bytesPerElement(dtype));
  const draws = uniforms({ seed: 10, purpose: "interop", step: 0, index }, bytes.length);
  for (let k = 0; k < bytes.length; k++) bytes[k] = Math.floor(draws[k]! * (dtype === "bool" ? 2 : 256));
  return new NDArray(dtype, shape, data);
}

/** Every element type in several shapes, odd names, and tensors whose sizes are no multiple of anything. */
function manyKinds(): Map<string, NDArray> {
  const shapes = [[], [0, 4], [7], [3, 5], [2, 3, 4, 5], [300, 7], [3, 0, 2]];
  const tensors = new Map<string, NDArray>();
  for (const dtype of dtypes) {
    for (const shape of shapes)
      tensors.set(`blocks.${shape.length}.${dtype}.[${shape}]`, randomArray(dtype, shape, tensors.size));
  }
  for (const name of ["__proto__", "constructor", "ü ∂ 量", 'a"b\\c', "x".repeat(300)]) {
    tensors.set(name, randomArray("float32", [2], tensors.size));
  }
  return tensors;
}

/** Over 4 GiB in all, so that zip64 is needed; the tensors share one piece of memory of 64 MiB. */
function large(): Map<string, NDArray> {
  const piece = new Float32Array(2 ** 24).map((_, k) => k);
  const tensors = new Map<string, NDArray>();
  for (let k = 0; k < 70; k++) tensors.set(`blocks.${k}`, new NDArray("float32", [2 ** 12, 2 ** 12], piece));
  return tensors;
}

const [folder = ".", option] = process.argv.slice(2);
const tensors = option === "--large" ? large() : manyKinds();
await writeAtomically(join(folder, "ours.pt"), encodeTorch(tensors));
await writeAtomically(join(folder, "ours.safetensors"), encodeSafetensors(tensors));
const bytes = [...tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
console.log(`wrote ${tensors.size} tensors, ${bytes} bytes, to ours.pt and ours.safetensors`);
