/** `tinyfusion/browser`: what runs without Node. A graph becomes an ONNX file by `lower` and `encodeModel`. */

export { InputError } from "./array/input-error.ts";
export { float32, int32, NDArray, zeros } from "./array/ndarray.ts";
export { normals, type RandomKey, uniforms } from "./array/random.ts";
export { defaultProcess, type Process, type ProcessKind, processOf, scheduleOf } from "./diffusion/process.ts";
export type { Schedule } from "./diffusion/schedule.ts";
export type { DeviceArray, Engine, NamedArrays, Program } from "./engine/engine.ts";
export { lower } from "./engine/onnx/lowering.ts";
export { encodeModel } from "./engine/onnx/model.ts";
export { webgpuLowering } from "./engine/onnx/webgpu-lowering.ts";
export * from "./formats.ts";
export * from "./graph.ts";
export * from "./models.ts";
