/** What a flow model's output says: velocity, noise and score of x_t. N batch; all images [N, C, H, W], times [N]. */
import { add, div, mul, neg, sub } from "../../graph/build.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { Model, ModelInputs } from "../model.ts";
import { tensors } from "./arithmetic.ts";
import { determinant, type Interpolant, imageInterpolant } from "./path.ts";
import type { FlowProcess, PredictionName } from "./process.ts";

/** x_t = α x_1 + σ ε of data x_1 and noise ε. */
export function noised({ alpha, sigma }: Interpolant<Tensor>, data: Tensor, noise: Tensor): Tensor {
  return add(mul(alpha, data), mul(sigma, noise));
}

/** The velocity of that path, α′ x_1 + σ′ ε: what a velocity model learns. */
export function velocityOfPath({ dAlpha, dSigma }: Interpolant<Tensor>, data: Tensor, noise: Tensor): Tensor {
  return add(mul(dAlpha, data), mul(dSigma, noise));
}

/** Velocity and noise belong together: with x, each gives the other. */
interface VelocityAndNoise {
  readonly velocity: Tensor;
  readonly noise: Tensor;
}

type Conversion = (output: Tensor, x: Tensor, at: Interpolant<Tensor>) => VelocityAndNoise;

const conversions: { readonly [K in PredictionName]: Conversion } = {
  velocity: (velocity, x, at) => ({
    velocity,
    noise: div(sub(mul(at.dAlpha, x), mul(at.alpha, velocity)), determinant(at, tensors)),
  }),
  noise: (noise, x, at) => ({
    velocity: div(sub(mul(at.dAlpha, x), mul(determinant(at, tensors), noise)), at.alpha),
    noise,
  }),
  score: (score, x, at) => conversions.noise(neg(mul(at.sigma, score)), x, at),
};

/** The drift of the probability flow, and the score ∇ log p_t(x) = −ε / σ. */
export interface FlowField {
  readonly velocity: Tensor;
  readonly score: Tensor;
}

/** The velocity and the score of a model at x and t; with guidance, give a model that guides itself. */
export function flowField(model: Model, { path, prediction }: FlowProcess, { x, t, y }: ModelInputs): FlowField {
  const at = imageInterpolant(path, t);
  const output = model({ x, t, y });
  const { velocity, noise } = conversions[prediction](output, x, at);
  return { velocity, score: prediction === "score" ? output : neg(div(noise, at.sigma)) };
}
