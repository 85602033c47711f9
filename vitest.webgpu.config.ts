/** `npm run test:webgpu`: the WebGPU provider, on a GPU or on a driver that runs on the CPU. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { include: ["test/**/*.webgpu.ts"], globalSetup: "test/engine/onnx/webgpu-setup.ts", testTimeout: 120_000 },
});
