/** How much noise an SDE sampler adds at each t: the diffusion coefficient w (Ma et al. 2024, SiT). */
import { numbers } from "./arithmetic.ts";
import { determinant, interpolantAt } from "./path.ts";
import type { PathName } from "./process.ts";

/** The forms there are. Every positive w has the same marginals in the limit of small steps. */
export const diffusionForms = ["constant", "sbdm", "sigma", "linear", "decreasing", "increasing-decreasing"] as const;
export type DiffusionForm = (typeof diffusionForms)[number];

type Coefficient = (path: PathName, t: number, norm: number) => number;

const coefficients: { readonly [K in DiffusionForm]: Coefficient } = {
  constant: (_path, _t, norm) => norm,
  /** That of score-based diffusion models: the drift of the forward process is then linear in x. Infinite where α = 0. */
  sbdm(path, t, norm) {
    const at = interpolantAt(path, t);
    return (norm * at.sigma * determinant(at, numbers)) / at.alpha;
  },
  sigma: (path, t, norm) => norm * interpolantAt(path, t).sigma,
  linear: (_path, t, norm) => norm * (1 - t),
  decreasing: (_path, t, norm) => 0.25 * (norm * Math.cos(Math.PI * t) + 1) ** 2,
  "increasing-decreasing": (_path, t, norm) => norm * Math.sin(Math.PI * t) ** 2,
};

/** w(t) in dx = (v + w · score) dt + √(2w) dW; `norm` scales it. */
export const diffusionAt = (form: DiffusionForm, path: PathName, t: number, norm: number): number =>
  coefficients[form](path, t, norm);
