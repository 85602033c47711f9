/** Respacing: run a diffusion process on a subset of its timesteps, with betas that keep ᾱ at those timesteps. */
import { InputError } from "../array/input-error.ts";
import { type Schedule, scheduleFromBetas } from "./schedule.ts";

/**
 * The timesteps of a process of `total` steps that `spec` keeps, ascending.
 * - `"250"`: 250 timesteps evenly from 0 to total − 1 (Nichol & Dhariwal 2021, section 4).
 * - `"10,15,20"`: as many from each of so many equal sections (the first ones are one longer if they do not divide).
 * - `"ddim25"`: 0, s, 2s, … with the first whole stride s that gives exactly 25 (Song et al. 2021, DDIM, appendix D).
 *
 * Strides are accumulated in float64 and rounded half to even, as Python does.
 * @throws InputError if `spec` is none of these, or asks for more timesteps than there are.
 */
export function spacedTimesteps(total: number, spec: string): Int32Array {
  const ddim = /^ddim(\d+)$/.exec(spec);
  const timesteps = ddim ? stridedTimesteps(total, Number(ddim[1])) : sectionTimesteps(total, sectionCounts(spec));
  if (timesteps.length === 0) throw new InputError(`respacing "${spec}" keeps no timestep`);
  return Int32Array.from(timesteps);
}

/**
 * The process that visits only the timesteps of `spec`: β'_i = 1 − ᾱ_i / ᾱ_{i−1} over the kept ones, so ᾱ there is unchanged.
 * @throws InputError as {@link spacedTimesteps}.
 */
export function respace(schedule: Schedule, spec: string): Schedule {
  const kept = spacedTimesteps(schedule.betas.length, spec);
  const betas = new Float64Array(kept.length);
  let previous = 1;
  kept.forEach((step, i) => {
    const alphaBar = schedule.alphasCumprod[step]!;
    betas[i] = 1 - alphaBar / previous;
    previous = alphaBar;
  });
  return scheduleFromBetas(
    betas,
    kept.map((step) => schedule.timesteps[step]!),
  );
}

function stridedTimesteps(total: number, count: number): number[] {
  for (let stride = 1; stride < total; stride++) {
    if (Math.ceil(total / stride) === count) return Array.from({ length: count }, (_, i) => i * stride);
  }
  throw new InputError(`respacing "ddim${count}": no whole stride takes exactly ${count} of ${total} timesteps`);
}

function sectionCounts(spec: string): number[] {
  return spec.split(",").map((text) => {
    if (!/^\s*\d+\s*$/.test(text)) {
      throw new InputError(`respacing "${spec}" is neither a count ("250"), counts ("10,15,20") nor "ddim25"`);
    }
    return Number(text);
  });
}

function sectionTimesteps(total: number, counts: readonly number[]): number[] {
  const timesteps: number[] = [];
  let start = 0;
  counts.forEach((count, section) => {
    const size = Math.floor(total / counts.length) + (section < total % counts.length ? 1 : 0);
    if (count > size) {
      throw new InputError(
        `respacing "${counts}": section ${section + 1} has ${size} of ${total} timesteps, cannot take ${count} from it`,
      );
    }
    const stride = count > 1 ? (size - 1) / (count - 1) : 1;
    let position = 0;
    for (let i = 0; i < count; i++) {
      timesteps.push(start + roundHalfToEven(position));
      position += stride;
    }
    start += size;
  });
  return timesteps;
}

function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  const fraction = value - below;
  if (fraction !== 0.5) return fraction < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}
