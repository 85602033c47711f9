/** What a time is the middle of, and what is left out of it. */
import { expect, test } from "vitest";
import { float32 } from "../../../src/array/ndarray.ts";
import { processOf } from "../../../src/diffusion/process.ts";
import type { Session } from "../../../src/engine/engine.ts";
import { cpuEngine } from "../../../src/engine/onnx/node-engine.ts";
import { median, sampleUntil, warmingEngine, warmUp } from "../../../src/evaluation/speed/timing.ts";
import { input, mul } from "../../../src/graph/build.ts";
import type { ImageSampler } from "../../../src/sampling/image-sampler.ts";

const batch = { first: 0, y: new Int32Array(2), rows: 2 };
const images = float32([0, 0]);

/** Draws in so many evaluations, of which each runs one of the graphs. */
const samplerOf = (evaluations: number, evaluate: (i: number) => Promise<unknown>): ImageSampler => ({
  ...{ evaluations, settings: { steps: `${evaluations}`, cfgScale: 1 }, derived: {}, release: async () => {} },
  async sample({ onModelEvaluation }) {
    for (let i = 0; i < evaluations; i++) {
      await evaluate(i);
      onModelEvaluation();
    }
    return images;
  },
});

test("a median of an even number is between the two in the middle", () => {
  expect([median([3, 1, 2]), median([4, 1, 2, 9]), median([])]).toEqual([2, 3, Number.NaN]);
});

test("a draw is cut where it is enough, and errors of the sampler are its own", async () => {
  const sampler = samplerOf(5, async () => {});
  expect(await sampleUntil(sampler, batch, (evaluations) => evaluations === 3)).toBe(3);
  expect(await sampleUntil(sampler, batch, () => false)).toBe(5);
  const failing = samplerOf(5, () => Promise.reject(new Error("broken")));
  await expect(sampleUntil(failing, batch, () => true)).rejects.toThrow("broken");
});

test("a sampler is warm when each of its graphs has run; of a MAR a whole batch is drawn", async () => {
  const engine = warmingEngine(cpuEngine({ threads: 1 }));
  const x = input("x", [2]);
  const sessions: Session[] = [];
  for (let i = 0; i < 3; i++) sessions.push(await engine.compile({ outputs: { out: mul(x, x) } }));
  const ran: number[] = [];
  const sampler = samplerOf(9, (i) => {
    ran.push(i);
    return sessions[Math.min(2, Math.floor(i / 2))]!.run({ x: images });
  });
  expect(engine.isWarm()).toBe(false);
  await warmUp(sampler, { engine, process: processOf("gaussian"), batch });
  expect([engine.isWarm(), ran]).toEqual([true, [0, 1, 2, 3, 4]]);
  await warmUp(sampler, { engine, process: processOf("tokens"), batch });
  expect(ran).toHaveLength(5 + 9);
  const signal = AbortSignal.abort(new Error("stopped"));
  await expect(warmUp(sampler, { engine, process: processOf("flow"), batch, signal })).rejects.toThrow("stopped");
  for (const session of sessions) await session.release();
});
