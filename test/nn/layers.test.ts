import { describe, expect, it } from "vitest";
import { float32 } from "../../src/array/ndarray.ts";
import { normals } from "../../src/array/random.ts";
import { runAndRead } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { input } from "../../src/graph/build.ts";
import { groupNorm } from "../../src/nn/layers.ts";
import { Params } from "../../src/nn/params.ts";

describe("group norm", () => {
  it("gives each group of channels mean 0 and variance 1, then scales and shifts each channel", async () => {
    const x = float32(
      normals({ seed: 0, purpose: "x", step: 0, index: 0 }, 2 * 4 * 9).map((z, i) => z * 3 + i),
      [2, 4, 3, 3],
    );
    const y = groupNorm(new Params(), input("x", x.shape), 2, 1e-6);
    const session = await cpuEngine({ threads: 1 }).compile({ outputs: { y } });
    const bias = [10, 20, 30, 40];
    const found = (await runAndRead(session, { x, weight: float32([1, 2, 3, 4]), bias: float32(bias) })).y!
      .data as Float32Array;
    for (let group = 0; group < 4; group++) {
      // Undo each channel's scale and shift: what is left must be normal within the group of two channels.
      const values = Array.from(found.subarray(group * 18, (group + 1) * 18), (value, i) => {
        const channel = (group % 2) * 2 + Math.floor(i / 9);
        return (value - bias[channel]!) / (channel + 1);
      });
      const mean = values.reduce((a, b) => a + b, 0) / 18;
      const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / 18;
      expect(mean).toBeCloseTo(0, 4);
      expect(variance).toBeCloseTo(1, 3);
    }
  });
});
