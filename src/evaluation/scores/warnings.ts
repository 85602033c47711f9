/** What makes numbers incomparable with published ones, said before somebody compares them. */

import { InputError } from "../../array/input-error.ts";
import type { ImageSet } from "../../data/images/image-set.ts";
import type { Process } from "../../diffusion/process.ts";
import { firstStepWarning } from "../../sampling/compile-sampler.ts";
import type { SamplingSettings } from "../../sampling/sampling-settings.ts";
import { digitNetworkName } from "../features/digit-network.ts";
import type { FeatureNetwork } from "../features/extract-features.ts";
import type { Reference } from "../reference/reference.ts";
import type { Checks } from "./evaluation.ts";

/** Images behind published FIDs of ImageNet. */
const PUBLISHED_COUNT = 50_000;

export interface WarnedOf {
  readonly network: Pick<FeatureNetwork, "name" | "settings">;
  readonly samples: Pick<ImageSet, "count" | "isLossy" | "notes" | "origin" | "name">;
  readonly reference: Reference;
  readonly checks: Pick<Checks, "referenceToItself">;
  /** The Fréchet distance. */
  readonly frechet: number;
  /** Samples that differ from each other. */
  readonly distinct: number;
}

/** One sentence for each thing. */
export function warningsOf(of: WarnedOf): string[] {
  return [
    ...checkWarnings(of),
    ...countWarnings(of),
    ...featureWarnings(of),
    ...formatWarnings(of),
    ...originWarnings(of),
    ...(of.samples.notes ?? []),
  ];
}

/** Shares of a distance, and of all variances together, that rounding stays below. */
const [MOST_OF_DISTANCE, MOST_OF_VARIANCES] = [1e-3, 1e-6];

/** A matrix that is no covariance has no distance 0 to itself, and no right one to anything. */
function checkWarnings({ checks: { referenceToItself }, frechet, reference: { pooled } }: WarnedOf): string[] {
  const d = pooled.mean.length;
  const variances = pooled.mean.reduce((sum, _, i) => sum + pooled.covariance[i * d + i]!, 0);
  const most = Math.max(MOST_OF_DISTANCE * Math.abs(frechet), MOST_OF_VARIANCES * variances);
  if (Math.abs(referenceToItself) <= most) return [];
  return [
    `the reference has a Fréchet distance of ${referenceToItself.toPrecision(3)} to itself, which should be 0: its ` +
      "covariance has negative eigenvalues, so distances to it are wrong; make the reference again",
  ];
}

/** Of samples: less than this share is distinct only where something went wrong. */
const DISTINCT = 0.9;

function countWarnings({ network, samples: { count, name }, reference, distinct }: WarnedOf): string[] {
  const dimension = reference.pooled.mean.length;
  const warnings: string[] = [];
  if (distinct < DISTINCT * count) {
    warnings.push(
      `${distinct} of the ${count} samples of ${name} differ, the others are equal to one of them: distances, errors and ` +
        "recall are those of the few; look for copies, or for a model that always makes the same image",
    );
  }
  if (network.name !== digitNetworkName && count < PUBLISHED_COUNT) {
    warnings.push(
      `${count} samples: published FIDs are of ${PUBLISHED_COUNT}, and fewer samples give a higher FID, whatever the model`,
    );
  }
  if (count <= dimension) {
    warnings.push(`${count} samples of ${dimension} features: their covariance has not full rank`);
  }
  if (reference.count !== undefined && reference.count <= dimension) {
    warnings.push(
      `the reference has ${reference.count} images for ${dimension} features: its covariance has not full rank`,
    );
  }
  const kept = reference.features?.shape[0];
  if (kept !== undefined && Math.min(kept, count) < Math.max(kept, count) / 10) {
    warnings.push(
      `precision and recall compare ${count} samples with ${kept} reference images: both depend on these counts, so compare only numbers of equal ones`,
    );
  }
  return warnings;
}

function featureWarnings({ network, reference }: WarnedOf): string[] {
  const warnings: string[] = [];
  if (network.name === digitNetworkName) {
    warnings.push("features of the digit classifier: FD-digits cannot be compared with any FID");
  }
  const { resize, published } = network.settings;
  if (published === false) {
    warnings.push(
      "the feature network's weights are not pytorch-fid's file (SHA-256 6726825d…); NVIDIA's file holds the same to rounding, " +
        "any other makes the FID a number of its own",
    );
  }
  if (resize !== undefined && resize !== "tf") {
    warnings.push(
      `images were resized in the way "${resize}"; the ADM evaluator and most papers resize as TensorFlow does ("tf")`,
    );
  }
  if (reference.network && reference.network.settings.weights !== network.settings.weights) {
    warnings.push(
      "the reference's features are of another file of weights: right only if both are the published weights in two forms",
    );
  }
  if (!reference.network || reference.isNetworkAssumed) {
    const assumed = network.name === digitNetworkName ? "the digit classifier's" : "the ADM suite's";
    warnings.push(
      `the reference does not say of which network and resizing its statistics are; ${assumed} are assumed`,
    );
  }
  return warnings;
}

function formatWarnings({ samples, reference }: WarnedOf): string[] {
  return [
    ...(samples.isLossy
      ? ["samples were stored in a lossy format (JPEG), which alone raises the FID; store PNG or npz"]
      : []),
    ...(reference.isLossy ? ["the reference is of lossy images (JPEG): it measures their artefacts too"] : []),
  ];
}

type Sampled = Pick<SamplingSettings, "cfgScale" | "cfgChannels" | "steps" | "headSteps" | "clip">;

/** What `generate` (`sampling`) and `sample` (`settings`) note. */
interface Origin {
  readonly modelFile?: { readonly weights?: string; readonly config?: { readonly inChannels?: number } };
  readonly process?: Process;
  readonly sampling?: Sampled;
  readonly settings?: Sampled & { readonly process?: Process };
}

function originWarnings({ samples: { origin } }: WarnedOf): string[] {
  if (!origin)
    return ["nothing is known of how the samples were made: model, weights, guidance and steps are not in the report"];
  const { modelFile, sampling, settings, process = settings?.process } = origin as Origin;
  const warnings: string[] = [];
  if (modelFile?.weights === "raw") {
    warnings.push("samples are of raw weights; published numbers are of averaged (EMA) weights");
  }
  const { cfgScale = 1, cfgChannels: guided } = sampling ?? settings ?? {};
  const channels = modelFile?.config?.inChannels;
  if (cfgScale !== 1 && channels === 4 && guided === 4) {
    warnings.push("all 4 latent channels were guided; the original DiT and TinyFusion guide 3 of 4 (--cfg-channels 3)");
  }
  const noise = process && noiseWarning(process, sampling ?? settings ?? {});
  if (noise !== undefined) warnings.push(noise);
  return warnings;
}

/** Files of others may hold a process that is none. */
function noiseWarning(process: Process, sampled: Sampled): string | undefined {
  try {
    return firstStepWarning(process, sampled);
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}
