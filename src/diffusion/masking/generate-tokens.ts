/** Autoregressive generation in random order (Li et al. 2024, section 3.4). N images, L tokens of C numbers, D as in z. */
import { float32, int32, type NDArray } from "../../array/ndarray.ts";
import { normals } from "../../array/random.ts";
import { mul } from "../../graph/build.ts";
import { fixedDim, type Tensor } from "../../graph/tensor.ts";
import { guidedPrediction, type Predictor } from "../predictor.ts";
import { reverseStep, sampleLoop } from "../samplers.ts";
import type { Schedule } from "../schedule.ts";
import {
  type GuidanceSchedule,
  guidanceScaleAt,
  maskLengths,
  type TokenOrder,
  tokenRows,
  visiblePlaces,
} from "./masks.ts";
import { asImages, asTokens, type TokenDenoiser } from "./token-loss.ts";

export interface TokenPlan {
  /** One for each image; the tokens are generated from its end. */
  readonly orders: readonly TokenOrder[];
  readonly iterations: number;
  readonly bufferSize: number;
  /** C */
  readonly tokenSize: number;
  /** The (respaced) process that the tokens are denoised by. */
  readonly schedule: Schedule;
  /** 1 is no guidance. */
  readonly guidanceScale: number;
  readonly guidanceSchedule: GuidanceSchedule;
}

/** What one reverse step of P tokens reads; the last two only with guidance. */
export interface TokenStepFeeds {
  readonly x: NDArray; // [P, C]
  readonly index: NDArray<"int32">; // [P]
  readonly noise: NDArray<"float32">; // [P, C]
  readonly z: NDArray; // [P, D]
  readonly unlabelledZ?: NDArray; // [P, D]
  readonly scale?: NDArray<"float32">; // []
}

/** The computed parts of generation. */
export interface TokenEvaluators {
  /** z for tokens [N, L, C] and visible places [N, V]: [N, L, D], with guidance [2N, L, D], the unlabelled rows last. */
  condition(tokens: NDArray<"float32">, visible: NDArray<"int32">): Promise<NDArray>;
  /** x_{t−1} [P, C] */
  step(feeds: TokenStepFeeds): Promise<NDArray>;
  /** Standard normal numbers of token l of image row n: C to start from, then C for each reverse step. */
  noise(row: number, token: number, length: number): Float32Array;
}

/** Noise by seed and number of the image: what a token starts from depends on nothing else. `first` is the number of row 0. */
export function tokenNoise(seed: number, first: number): TokenEvaluators["noise"] {
  return (row, token, length) => normals({ seed, purpose: "token noise", step: token, index: first + row }, length);
}

/** The tokens [N, L, C] of N images, all masked at first. */
export async function generateTokens(plan: TokenPlan, evaluators: TokenEvaluators): Promise<NDArray<"float32">> {
  const { orders, iterations, tokenSize, guidanceScale, guidanceSchedule } = plan;
  const length = orders[0]!.length;
  const lengths = maskLengths(length, iterations);
  const tokens = float32(new Float32Array(orders.length * length * tokenSize), [orders.length, length, tokenSize]);
  for (const [k, masked] of lengths.entries()) {
    const before = lengths[k - 1] ?? length;
    const visible = visiblePlaces(orders, before, plan.bufferSize);
    const z = await evaluators.condition(tokens, visible);
    const rows = tokenRows(orders, k === iterations - 1 ? 0 : masked, before);
    const scale = guidanceScaleAt(guidanceScale, guidanceSchedule, length, masked);
    const found = (await denoiseRows(plan, evaluators, { z, rows, scale })).data as Float32Array;
    rows.forEach((row, i) => {
      tokens.data.set(found.subarray(i * tokenSize, (i + 1) * tokenSize), row * tokenSize);
    });
  }
  return tokens;
}

/** The tokens with these rows from noise to x_0: [P, C]. */
function denoiseRows(
  { orders, tokenSize, schedule, guidanceScale }: TokenPlan,
  { step, noise }: TokenEvaluators,
  { z, rows, scale }: { z: NDArray; rows: Int32Array; scale: number },
): Promise<NDArray> {
  const length = orders[0]!.length;
  const steps = schedule.betas.length;
  const drawn = Array.from(rows, (row) => noise(Math.floor(row / length), row % length, (steps + 1) * tokenSize));
  const noiseAt = (k: number) => {
    const numbers = new Float32Array(rows.length * tokenSize);
    drawn.forEach((all, i) => {
      numbers.set(all.subarray(k * tokenSize, (k + 1) * tokenSize), i * tokenSize);
    });
    return float32(numbers, [rows.length, tokenSize]);
  };
  const conditions = {
    z: pick(z, rows),
    ...(guidanceScale !== 1 && {
      unlabelledZ: pick(z, rows, orders.length * length),
      scale: float32([scale], []),
    }),
  };
  return sampleLoop(schedule, noiseAt(0), (x, index) => {
    const indices = int32(new Int32Array(rows.length).fill(index));
    return step({ x, index: indices, noise: noiseAt(steps - index), ...conditions });
  });
}

/** Rows `offset` + rows[i] of z [.., L, D] taken as [..·L, D]. */
function pick(z: NDArray, rows: Int32Array, offset = 0): NDArray<"float32"> {
  const size = z.shape.at(-1)!;
  const picked = new Float32Array(rows.length * size);
  rows.forEach((row, i) => {
    const from = (offset + row) * size;
    picked.set((z.data as Float32Array).subarray(from, from + size), i * size);
  });
  return float32(picked, [rows.length, size]);
}

export interface TokenStepInputs {
  /** [P, C] */
  readonly x: Tensor;
  /** The step within the schedule, int32 [P]. */
  readonly index: Tensor;
  /** [P, C] */
  readonly noise: Tensor;
  /** [P, D] */
  readonly z: Tensor;
  readonly guidance?: TokenGuidance;
}

/** The conditions without a label [P, D], and how far to go from their prediction to the labelled one (1: all the way). */
export interface TokenGuidance {
  readonly z: Tensor;
  readonly scale: number | Tensor;
}

/** x_{t−1} [P, C] and predicted x_0 by DDPM; `temperature` scales the noise that is added (Li et al. 2024, section 3.2). */
export function tokenStep(
  denoiser: TokenDenoiser,
  schedule: Schedule,
  { x, index, noise, z, guidance }: TokenStepInputs,
  temperature = 1,
): { sample: Tensor; xStart: Tensor } {
  const denoise = guidance ? guidedTokens(denoiser, guidance) : denoiser;
  const model: Predictor = (inputs) => asImages(denoise({ x: asTokens(inputs.x), t: inputs.t, z }));
  const inputs = { x: asImages(x), index, noise: asImages(mul(noise, temperature)), y: index }; // y: not read, z is the label
  const { sample, xStart } = reverseStep(model, schedule, { kind: "ddpm", clip: false }, inputs);
  return { sample: asTokens(sample), xStart: asTokens(xStart) };
}

/**
 * A denoiser whose noise is guided in all channels; the variance is the labelled one. The original carries the unlabelled
 * half along as states of their own and throws them away.
 */
function guidedTokens(denoiser: TokenDenoiser, guidance: TokenGuidance): TokenDenoiser {
  return ({ x, t, z }) =>
    guidedPrediction(denoiser({ x, t, z }), denoiser({ x, t, z: guidance.z }), guidance.scale, fixedDim(x, 1));
}
