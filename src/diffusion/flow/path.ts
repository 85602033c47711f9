/** Paths from noise to data, x_t = α x_1 + σ ε: t = 0 is noise, t = 1 is data (Ma et al. 2024, SiT). N batch. */
import { reshape } from "../../graph/build.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { type Arithmetic, numbers, tensors } from "./arithmetic.ts";
import type { PathName } from "./process.ts";

/** Where a path is at t: the factors of data and noise, and their derivatives by t. */
export interface Interpolant<T> {
  readonly alpha: T;
  readonly dAlpha: T;
  readonly sigma: T;
  readonly dSigma: T;
}

type Formula = <T>(t: T, m: Arithmetic<T>) => Interpolant<T>;

const linear: Formula = (t, m) => {
  const flat = m.mul(t, 0);
  return { alpha: t, dAlpha: m.add(flat, 1), sigma: m.sub(1, t), dSigma: m.sub(flat, 1) };
};

/** The generalised variance-preserving path: a quarter of a circle. */
const gvp: Formula = (t, m) => {
  const angle = m.mul(t, Math.PI / 2);
  const [alpha, sigma] = [m.sin(angle), m.cos(angle)];
  return { alpha, dAlpha: m.mul(sigma, Math.PI / 2), sigma, dSigma: m.mul(alpha, -Math.PI / 2) };
};

const betaMin = 0.1;
const betaMax = 20;

/** The variance-preserving SDE (Song et al. 2021, Score-based generative modeling, appendix C) with its time turned round. */
const vp: Formula = (t, m) => {
  const s = m.sub(1, t);
  const logAlpha = m.mul(s, m.sub(m.mul(s, (betaMin - betaMax) / 4), betaMin / 2));
  const slope = m.add(m.mul(s, (betaMax - betaMin) / 2), betaMin / 2); // of log α
  const alpha = m.exp(logAlpha);
  const square = m.mul(alpha, alpha);
  // 1 − α² without cancellation where α is almost 1
  const sigma = m.sqrt(m.mul(m.tanh(m.neg(logAlpha)), m.add(square, 1)));
  return { alpha, dAlpha: m.mul(alpha, slope), sigma, dSigma: m.neg(m.div(m.mul(square, slope), sigma)) };
};

const formulas: { readonly [K in PathName]: Formula } = { linear, gvp, vp };

/** A path at time t. */
export const interpolantAt = (path: PathName, t: number): Interpolant<number> => formulas[path](t, numbers);

/** A path at the times t, of any shape. */
export const interpolant = (path: PathName, t: Tensor): Interpolant<Tensor> => formulas[path](t, tensors);

/** A path at the times t [N], as factors [N, 1, 1, 1] of images. */
export const imageInterpolant = (path: PathName, t: Tensor): Interpolant<Tensor> =>
  interpolant(path, reshape(t, [...t.shape, 1, 1, 1]));

/** α′σ − ασ′, which is positive: x and its velocity determine data and noise by Cramer's rule. */
export function determinant<T>({ alpha, dAlpha, sigma, dSigma }: Interpolant<T>, m: Arithmetic<T>): T {
  return m.sub(m.mul(dAlpha, sigma), m.mul(alpha, dSigma));
}
