/** What a flow model was trained on: the path from noise to data, what is predicted, and how the loss is weighed. */

/** The paths there are; `linear` and `gvp` begin in pure noise, `vp` is the path of variance-preserving diffusion. */
export const pathNames = ["linear", "gvp", "vp"] as const;
export type PathName = (typeof pathNames)[number];

/** What a model may predict of x_t. */
export const predictionNames = ["velocity", "noise", "score"] as const;
export type PredictionName = (typeof predictionNames)[number];

/** How the losses of noise and score models may be weighed. */
export const weightingNames = ["none", "velocity", "likelihood"] as const;
export type WeightingName = (typeof weightingNames)[number];

/** A named process: what a model's file says. */
export interface FlowProcess {
  readonly path: PathName;
  readonly prediction: PredictionName;
  /** Of noise and score models; a velocity model's loss has no weight. Default `none`. */
  readonly weighting?: WeightingName | undefined;
  /** How far training stays away from times where the formulas divide by zero. Default 1e-5 for `vp`, else 1e-3. */
  readonly trainEpsilon?: number | undefined;
  /** How far sampling stays away from them. Default 1e-3. */
  readonly sampleEpsilon?: number | undefined;
}
