/** Data whose flow is known: every number is N(mean, std²), so x_t is N(α mean, α² std² + σ²). */
import { float32, type NDArray } from "../../../src/array/ndarray.ts";
import { normals } from "../../../src/array/random.ts";
import { interpolantAt } from "../../../src/diffusion/flow/path.ts";
import type { PathName } from "../../../src/diffusion/process.ts";

export const mean = 1.5;
export const std = 0.5;

/** Exact velocity E[α′ x_1 + σ′ ε | x], score, and expected noise and data, at one number. */
export function fieldAt(path: PathName, x: number, t: number) {
  const { alpha, dAlpha, sigma, dSigma } = interpolantAt(path, t);
  const centered = (x - alpha * mean) / ((alpha * std) ** 2 + sigma ** 2);
  const [data, noise] = [mean + alpha * std ** 2 * centered, sigma * centered];
  return { velocity: dAlpha * data + dSigma * noise, score: -centered, noise, data };
}

/** The field of every number of x [N, D] at t [N]. */
export async function gaussianField(path: PathName, x: NDArray, t: NDArray) {
  const width = x.size / t.size;
  const [velocity, score] = [new Float32Array(x.size), new Float32Array(x.size)];
  for (let i = 0; i < x.size; i++) {
    const field = fieldAt(path, x.data[i] as number, t.data[Math.floor(i / width)] as number);
    velocity[i] = field.velocity;
    score[i] = field.score;
  }
  return { velocity: float32(velocity, x.shape), score: float32(score, x.shape) };
}

/** Standard normals [N, D] of a step. */
export const noise = (step: number, shape: readonly [number, number]): NDArray =>
  float32(normals({ seed: 7, purpose: "flow test", step, index: 0 }, shape[0] * shape[1]), shape);

/** Mean and standard deviation of all numbers. */
export function moments({ data, size }: NDArray): { mean: number; std: number } {
  const values = data as Float32Array;
  const average = values.reduce((a, b) => a + b, 0) / size;
  return { mean: average, std: Math.sqrt(values.reduce((a, b) => a + (b - average) ** 2, 0) / size) };
}
