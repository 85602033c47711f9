/** The WebGPU engine in the table of all engines. */
import { webgpuEngine } from "../../../src/engine/onnx/webgpu-engine.ts";
import { describeEngine } from "../engine-cases.ts";

describeEngine(() => webgpuEngine({ threads: 1 }));
