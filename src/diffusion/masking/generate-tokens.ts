/** Autoregressive generation in random order (Li et al. 2024, section 3.4). N images, L tokens of C numbers, D as in z. */
import { float32, type NDArray } from "../../array/ndarray.ts";
import { normals } from "../../array/random.ts";
import { mul } from "../../graph/build.ts";
import { fixedDim, type Tensor } from "../../graph/tensor.ts";
import { guidedPrediction, type Predictor } from "../predictor.ts";
import { reverseStep } from "../samplers.ts";
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

/** Tokens that are denoised together: their rows in [N · L], and how far to go from the unlabelled prediction. */
export interface MaskedTokens {
  readonly rows: Int32Array; // [P]
  readonly scale: number;
}

/** The computed parts of generation; Z is where they keep the conditions. */
export interface TokenEvaluators<Z> {
  /** z for tokens [N, L, C] and visible places [N, V]: [N, L, D], with guidance [2N, L, D], the unlabelled rows last. */
  condition(tokens: NDArray<"float32">, visible: NDArray<"int32">): Promise<Z>;
  /** The tokens with these rows from noise to x_0: [P, C]. */
  denoise(z: Z, tokens: MaskedTokens): Promise<NDArray>;
}

/** Standard normal numbers of token l of image row n: C to start from, then C for each reverse step. */
export type TokenNoise = (row: number, token: number, length: number) => Float32Array;

/** Noise by seed and number of the image: what a token starts from depends on nothing else. `first` is the number of row 0. */
export function tokenNoise(seed: number, first: number): TokenNoise {
  return (row, token, length) => normals({ seed, purpose: "token noise", step: token, index: first + row }, length);
}

/** The tokens [N, L, C] of N images, all masked at first. */
export async function generateTokens<Z>(plan: TokenPlan, evaluators: TokenEvaluators<Z>): Promise<NDArray<"float32">> {
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
    const found = (await evaluators.denoise(z, { rows, scale })).data as Float32Array;
    rows.forEach((row, i) => {
      tokens.data.set(found.subarray(i * tokenSize, (i + 1) * tokenSize), row * tokenSize);
    });
  }
  return tokens;
}

/** The noise of tokens [P, C] by reverse step k; 0 is the start, and tokens beyond `rows` are padding without noise. */
export function rowNoise(
  { orders, tokenSize, schedule }: Pick<TokenPlan, "orders" | "tokenSize" | "schedule">,
  noise: TokenNoise,
  rows: Int32Array,
  padded = rows.length,
): (k: number) => NDArray<"float32"> {
  const length = orders[0]!.length;
  const count = (schedule.betas.length + 1) * tokenSize;
  const drawn = Array.from(rows, (row) => noise(Math.floor(row / length), row % length, count));
  return (k) => {
    const numbers = new Float32Array(padded * tokenSize);
    drawn.forEach((all, i) => {
      numbers.set(all.subarray(k * tokenSize, (k + 1) * tokenSize), i * tokenSize);
    });
    return float32(numbers, [padded, tokenSize]);
  };
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
