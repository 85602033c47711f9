/** The timesteps that importance is summed over: evenly spread over the process, each fed to all examples at once. */

import { InputError } from "../../array/input-error.ts";
import { float32, int32 } from "../../array/ndarray.ts";
import { timesIn, trainingInterval } from "../../diffusion/flow/interval.ts";
import type { Process } from "../../diffusion/process.ts";
import type { NamedArrays } from "../../engine/engine.ts";

/** A process that noises whole images. */
type ImageProcess = Exclude<Process, { kind: "tokens" }>;

export interface Timestep {
  /** The step of a diffusion, counted from 0; the time of a flow, from noise (0) to data (1). */
  readonly value: number;
  /** Replaces the drawn timesteps of a micro-batch. */
  feeds(rows: number): NamedArrays;
}

const filled = (rows: number, value: number): number[] => Array.from({ length: rows }, () => value);

const rules: {
  readonly [K in ImageProcess["kind"]]: (
    process: Extract<ImageProcess, { kind: K }>,
    shares: Float32Array,
  ) => Timestep[];
} = {
  gaussian({ steps }, shares) {
    if (shares.length > steps) {
      throw new InputError(
        `--timesteps ${shares.length}: the model's process has ${steps} steps; give at most so many`,
      );
    }
    return Array.from(shares, (share) => {
      const value = Math.min(steps - 1, Math.floor(share * steps));
      return { value, feeds: (rows) => ({ index: int32(filled(rows, value)) }) };
    });
  },
  flow: (process, shares) =>
    Array.from(timesIn(trainingInterval(process), shares), (value) => ({
      value,
      feeds: (rows) => ({ t: float32(filled(rows, value)) }),
    })),
};

/**
 * The middles of `count` equal pieces of the process, ascending: every step of a diffusion that has so many.
 * @throws InputError for more steps than a diffusion has, or a process of single tokens.
 */
export function spreadTimesteps(process: Process, count: number): Timestep[] {
  if (process.kind === "tokens") throw new InputError("importance over timesteps is for models of whole images");
  const shares = Float32Array.from({ length: count }, (_, i) => (i + 0.5) / count);
  return (rules[process.kind] as (process: ImageProcess, shares: Float32Array) => Timestep[])(process, shares);
}
