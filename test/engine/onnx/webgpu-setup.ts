/** Before the WebGPU tests: is there a GPU, and if not, what to set. */

import { webgpuEngine } from "../../../src/engine/onnx/webgpu-engine.ts";
import { input, neg } from "../../../src/graph/build.ts";

const advice = `On Linux the provider needs the Vulkan loader libvulkan.so.1 and a driver.
Without a GPU, SwiftShader is a driver that runs on the CPU. It comes with Chromium; for one in /usr/lib/chromium set

  VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json LD_LIBRARY_PATH=/usr/lib/chromium npm run test:webgpu
`;

export async function setup(): Promise<void> {
  const graph = { outputs: { y: neg(input("x", [1])) } };
  const session = await webgpuEngine()
    .compile(graph)
    .catch((error: Error) => {
      throw new Error(`${error.message}\n${advice}`);
    });
  await session.release();
}
