/** The loop around any task: what a log says of time, and what a stopped run goes on from. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, expect, it } from "vitest";
import { runLoop, type Task } from "../../src/training/loop.ts";
import { RunFolder } from "../../src/training/run-folder.ts";

const path = mkdtempSync(join(tmpdir(), "tinyfusion-loop-"));
afterAll(() => rmSync(path, { recursive: true }));

/** Steps that only take time. */
const idle = (ms: number): Task => ({
  batchSize: 1,
  async step() {
    await pause(ms);
    return { terms: { loss: 0 }, gradientNorm: 0, learningRate: 0 };
  },
  checkpoint: () => ({ files: {}, metadata: {} }),
  restore() {},
});

it("seconds in the log count on over a resume, whether its steps are slower or faster", async () => {
  const folder = RunFolder.open(path);
  const settings = { logEvery: 1, saveEvery: 100, keepCheckpoints: 1, onNan: "stop" } as const;
  const stop = new AbortController();
  const afterStep = (step: number) => (step === 2 ? stop.abort() : undefined);
  const first = await runLoop(idle(40), folder, { ...settings, steps: 5 }, { afterStep, signal: stop.signal });
  const second = await runLoop(idle(60), folder, { ...settings, steps: 5 });
  folder.close();
  const seconds = folder.metrics().map((line) => Number(line.seconds));
  expect([first.step, first.finished, second.step, second.finished]).toEqual([2, false, 5, true]);
  expect(seconds).toEqual([...seconds].sort((a, b) => a - b));
  expect(seconds[2]! - seconds[1]!).toBeGreaterThan(0.05);
  // Writing the last checkpoint comes after the last line.
  expect(seconds.at(-1)!).toBeLessThanOrEqual(first.seconds + second.seconds + 0.002);
  expect(seconds.at(-1)!).toBeGreaterThan(0.25);
});
