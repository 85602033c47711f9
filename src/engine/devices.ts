/** The devices that `device` names: how each is opened, how a graph runs there, and what it is. */
import { availableParallelism, cpus, totalmem } from "node:os";
import type { Graph } from "../graph/graph.ts";
import type { Engine } from "./engine.ts";
import { cpuEngine } from "./onnx/cpu-engine.ts";
import { cpuLowering } from "./onnx/cpu-lowering.ts";
import { type Lowering, simplified } from "./onnx/lowering.ts";
import { webgpuEngine } from "./onnx/webgpu-engine.ts";
import { webgpuLowering } from "./onnx/webgpu-lowering.ts";

export interface DeviceOptions {
  /** Threads of the host: what computes on the CPU, and elsewhere what the device has no kernel for. */
  readonly threads?: number | undefined;
}

interface Device {
  /** @throws InputError where there is none. */
  readonly open: (options: DeviceOptions) => Engine;
  readonly lowering: Lowering;
  /** What computes, as far as the runtime tells. */
  readonly what: () => string;
  /** Bytes of its memory, if the runtime tells. */
  readonly memory: () => number | undefined;
  /** What it needs where it is not there. */
  readonly needs: string;
}

export const deviceNames = ["cpu", "webgpu"] as const;
export type DeviceName = (typeof deviceNames)[number];

const devices: { readonly [K in DeviceName]: Device } = {
  cpu: {
    open: ({ threads = 2 }) => cpuEngine({ threads }),
    lowering: cpuLowering,
    what: () => `${cpus()[0]?.model.trim() ?? "a processor"}, ${availableParallelism()} cores`,
    memory: totalmem,
    needs: "nothing",
  },
  webgpu: {
    open: ({ threads = 2 }) => webgpuEngine({ threads }),
    lowering: webgpuLowering,
    what: () => "a GPU through WebGPU (Dawn)",
    memory: () => undefined,
    needs:
      "a GPU with its driver; on Linux also the Vulkan loader (libvulkan1) and a Vulkan driver (mesa-vulkan-drivers, or that of the GPU's maker)",
  },
};

/** An engine on a device. @throws InputError where there is none. */
export const openDevice = (name: DeviceName, options: DeviceOptions = {}): Engine => devices[name].open(options);

/** What a device is, and what it needs. */
export function describeDevice(name: DeviceName): { what: string; memoryBytes: number | undefined; needs: string } {
  const { what, memory, needs } = devices[name];
  return { what: what(), memoryBytes: memory(), needs };
}

/** The graph as a device runs it: what its cost is counted on. */
export const runOn = (name: DeviceName, graph: Graph): Graph => simplified(graph, devices[name].lowering);
