/** Pictures while a model trains: the averaged weights drawn from the same noise each time, so that progress shows. */

import { join } from "node:path";
import { InputError } from "../array/input-error.ts";
import { NDArray } from "../array/ndarray.ts";
import type { Process } from "../diffusion/process.ts";
import type { Engine } from "../engine/engine.ts";
import type { Model } from "../models/registry.ts";
import { steadySteps } from "../sampling/compile-sampler.ts";
import { sampleImages } from "../sampling/sample-images.ts";
import type { SamplingSettings } from "../sampling/sampling-settings.ts";
import { sampledBy } from "../sampling/usable-images.ts";
import { writeAtomically } from "../storage/atomic-write.ts";
import type { LoopHooks, Task } from "../training/loop.ts";
import { gridPng, hasImageChannels } from "./grid-png.ts";
import type { SettingTable, Values } from "./settings.ts";

export const sampleSettings = {
  sampleEvery: {
    kind: "integer",
    fallback: 0,
    min: 0,
    zeroIsOff: true,
    help: "steps between sample grids in the run's samples; 0: none",
  },
  sampleCount: { kind: "integer", fallback: 40, min: 1, help: "images of a sample grid" },
} as const satisfies SettingTable;

const MOST_STEPS = 25;

/** As many steps as the defaults of each sampler, where the process has as many. */
function quickSteps(process: Process): SamplingSettings {
  if (process.kind === "flow") return {};
  const steps = steadySteps(process, MOST_STEPS);
  return process.kind === "gaussian" ? { steps } : { headSteps: steps };
}

interface SampleSettings {
  readonly model: Model;
  readonly process: Process;
  readonly seed: number;
}

/**
 * The hook that writes `samples/step-00000500.png`: fixed noise, classes in turn, EMA weights. Only reads the task.
 * @throws InputError, before any step, for a model whose output is no picture.
 */
export function trainingSamples(
  { sampleEvery, sampleCount }: Values<typeof sampleSettings>,
  { model, process, seed }: SampleSettings,
): (run: { path: string; task: Task; engine: Engine }) => Pick<LoopHooks, "afterStep"> {
  const { inChannels, numClasses } = model.config;
  if (sampleEvery > 0 && !hasImageChannels(inChannels)) {
    throw new InputError(
      `\`sampleEvery\` needs images of 1 or 3 channels, this model makes ${inChannels}-channel latents`,
    );
  }
  return ({ path, task, engine }) => ({
    async afterStep(step) {
      if (sampleEvery === 0 || step % sampleEvery !== 0) return;
      const name = `step ${step}, averaged weights (\`sampleEvery\` 0 trains without samples)`;
      const averaged = Array.from(task.checkpoint().files.ema!);
      const weights = new Map(
        await Promise.all(averaged.map(async ([key, x]) => [key, x instanceof NDArray ? x : await x.read()] as const)),
      );
      const { images } = await sampledBy(name, () =>
        sampleImages({
          engine,
          model,
          weights,
          labels: sampleCount,
          process,
          ...quickSteps(process),
          seed,
        }),
      );
      const file = join(path, "samples", `step-${String(step).padStart(8, "0")}.png`);
      await writeAtomically(file, gridPng(images, numClasses));
    },
  });
}
