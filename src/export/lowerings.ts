/** For which provider of ONNX Runtime a file is written. */
import { cpuLowering } from "../engine/onnx/cpu-lowering.ts";
import type { Lowering } from "../engine/onnx/lowering.ts";
import { webgpuLowering } from "../engine/onnx/webgpu-lowering.ts";

const { conv2d, softmax } = cpuLowering.rules;

/**
 * `webgpu` is right on every provider: on a GPU, in a browser's WebAssembly, and on CPUs. `cpu` uses what the CPU
 * provider is fastest with; on WebGPU some of it would be wrong. An exported function never sees a batch without rows,
 * so it does not pay for the spare row that our own WebGPU graphs have against those.
 */
export const exportLowerings = {
  webgpu: { ...webgpuLowering, rules: { ...webgpuLowering.rules, conv2d, softmax } },
  cpu: cpuLowering,
} as const satisfies Record<string, Lowering>;

export type ExportProvider = keyof typeof exportLowerings;

export const exportProviders = ["webgpu", "cpu"] as const satisfies readonly ExportProvider[];
