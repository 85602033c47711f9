/** Whether images can be scored at all, asked before the hours that drawing them or looking at them may take. */
import { InputError } from "../../array/input-error.ts";
import type { ImageSet } from "../../data/images/image-set.ts";
import type { Features } from "../metrics/feature-rows.ts";
import { FEWEST_JACKKNIFE_ROWS } from "../metrics/jackknife.ts";
import { medianKernel } from "../metrics/kernel-distance.ts";
import { type Reference, requireComparable } from "../reference/reference.ts";
import type { ScoreRequest } from "./scoring.ts";

export interface Scorable extends Pick<ScoreRequest, "network" | "reference" | "settings"> {
  /** What is scored, or will be drawn. */
  readonly images: Pick<ImageSet, "name" | "count" | "height" | "width">;
}

/**
 * @throws InputError for a reference of another network or of images of another size, fewer than 20 images, no more
 *   images than the neighbours that precision and recall look for, or a reference of images that look alike.
 */
export function requireScorable({ network, reference, settings, images }: Scorable): void {
  requireComparable(reference, network, images);
  requireEnough(images);
  requireNeighbours(images.name, images.count, settings.neighbours);
  if (!reference.features) return;
  requireNeighbours(...keptOf(reference), settings.neighbours);
  if (settings.bandwidth === undefined) requireBandwidth(reference.name, reference.features);
}

/** @throws InputError naming a reference of images that look alike. */
function requireBandwidth(name: string, features: Features): void {
  try {
    medianKernel(features);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(
      `${name}: expected images that differ, but half of all distances between their features are 0 or not finite, so the ` +
        "kernel distance has no bandwidth; take other images as the reference, or give --bandwidth",
    );
  }
}

/** @throws InputError for fewer images than a standard error needs. */
export function requireEnough({ name, count }: Pick<ImageSet, "name" | "count">): void {
  if (count >= FEWEST_JACKKNIFE_ROWS) return;
  throw new InputError(
    `${name}: expected at least ${FEWEST_JACKKNIFE_ROWS} images for a standard error, found ${count}; take more of them`,
  );
}

const keptOf = ({ name, features }: Reference): [string, number] => [name, features!.shape[0]!];

function requireNeighbours(name: string, count: number, neighbours: number): void {
  if (count > neighbours) return;
  throw new InputError(
    `${name}: expected more than ${neighbours} images for ${neighbours} nearest neighbours (--neighbours), found ${count}; ` +
      "take more images or fewer neighbours",
  );
}
