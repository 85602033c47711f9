/** Warnings of what makes numbers incomparable with published ones. */
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

/** One sentence for each warning. */
export function warningsOf(of: WarnedOf): string[] {
  const found = [
    checkWarning(of),
    ...countWarnings(of),
    ...featureWarnings(of),
    of.samples.isLossy && "samples were stored in a lossy format (JPEG), which alone raises the FID; store PNG or npz",
    of.reference.isLossy && "the reference is of lossy images (JPEG): it measures their artefacts too",
    ...originWarnings(of),
    ...(of.samples.notes ?? []),
  ];
  return found.filter((warning) => typeof warning === "string");
}

/** A warning, or a value that is none. */
type Warning = string | false | undefined;

/** Shares of a distance, and of all variances together, that rounding stays below. */
const [MOST_OF_DISTANCE, MOST_OF_VARIANCES] = [1e-3, 1e-6];

/** A matrix that is no covariance has no distance 0 to itself, and no right one to anything. */
function checkWarning({ checks: { referenceToItself }, frechet, reference: { pooled } }: WarnedOf): Warning {
  const d = pooled.mean.length;
  const variances = pooled.mean.reduce((sum, _, i) => sum + pooled.covariance[i * d + i]!, 0);
  const most = Math.max(MOST_OF_DISTANCE * Math.abs(frechet), MOST_OF_VARIANCES * variances);
  return (
    Math.abs(referenceToItself) > most &&
    `the reference has a Fréchet distance of ${referenceToItself.toPrecision(3)} to itself, which should be 0: its ` +
      "covariance has negative eigenvalues, so distances to it are wrong; make the reference again"
  );
}

/** Of samples: less than this share is distinct only where something went wrong. */
const DISTINCT = 0.9;

function countWarnings({ network, samples: { count, name }, reference, distinct }: WarnedOf): Warning[] {
  const dimension = reference.pooled.mean.length;
  const kept = reference.features?.shape[0];
  return [
    distinct < DISTINCT * count &&
      `${distinct} of the ${count} samples of ${name} differ, the others are equal to one of them: distances, errors and ` +
        "recall are those of the few; look for copies, or for a model that always makes the same image",
    network.name !== digitNetworkName &&
      count < PUBLISHED_COUNT &&
      `${count} samples: published FIDs are of ${PUBLISHED_COUNT}, and fewer samples give a higher FID, whatever the model`,
    count <= dimension && `${count} samples of ${dimension} features: their covariance has not full rank`,
    reference.count !== undefined &&
      reference.count <= dimension &&
      `the reference has ${reference.count} images for ${dimension} features: its covariance has not full rank`,
    kept !== undefined &&
      Math.min(kept, count) < Math.max(kept, count) / 10 &&
      `precision and recall compare ${count} samples with ${kept} reference images: both depend on these counts, so compare only numbers of equal ones`,
  ];
}

function featureWarnings({ network, reference }: WarnedOf): Warning[] {
  const isOfDigits = network.name === digitNetworkName;
  const { resize, published, weights } = network.settings;
  return [
    isOfDigits && "features of the digit classifier: FD-digits cannot be compared with any FID",
    published === false &&
      "the feature network's weights are not pytorch-fid's file (SHA-256 6726825d…); NVIDIA's file holds the same to rounding, " +
        "any other makes the FID a number of its own",
    resize !== undefined &&
      resize !== "tf" &&
      `images were resized in the way "${resize}"; the ADM evaluator and most papers resize as TensorFlow does ("tf")`,
    reference.network &&
      reference.network.settings.weights !== weights &&
      "the reference's features are of another file of weights: right only if both are the published weights in two forms",
    (!reference.network || reference.isNetworkAssumed) &&
      `the reference does not say of which network and resizing its statistics are; ${
        isOfDigits ? "the digit classifier's" : "the ADM suite's"
      } are assumed`,
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

function originWarnings({ samples: { origin } }: WarnedOf): Warning[] {
  if (!origin)
    return ["nothing is known of how the samples were made: model, weights, guidance and steps are not in the report"];
  const { modelFile, sampling, settings, process = settings?.process } = origin as Origin;
  const sampled = sampling ?? settings;
  return [
    modelFile?.weights === "raw" && "samples are of raw weights; published numbers are of averaged (EMA) weights",
    (sampled?.cfgScale ?? 1) !== 1 &&
      modelFile?.config?.inChannels === 4 &&
      sampled?.cfgChannels === 4 &&
      "all 4 latent channels were guided; the original DiT and TinyFusion guide 3 of 4 (--cfg-channels 3)",
    process && noiseWarning(process, sampled ?? {}),
  ];
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
