/** What generated images are compared with: statistics of features, and some of the features themselves. */
import { InputError } from "../../array/input-error.ts";
import type { NDArray } from "../../array/ndarray.ts";
import type { ImageSet } from "../../data/images/image-set.ts";
import type { FeatureNetwork, ImageFeatures } from "../features/feature-network.ts";
import { inceptionName } from "../features/inception.ts";
import type { Gaussian } from "../metrics/gaussian-stats.ts";

/** D pooled features, S spatial ones; M images of which features are kept. */
export interface Reference {
  /** Path, or what else a person would call it. */
  readonly name: string;
  /** The network and its settings, if the file says so. */
  readonly network?: Pick<FeatureNetwork, "name" | "settings">;
  /** Whether the statistics' file says nothing of a network, and they are only taken for that network's. */
  readonly isNetworkAssumed?: boolean;
  /** Images behind the statistics, if the file says so. */
  readonly count?: number;
  /** Size of those images, if the file says so. */
  readonly size?: readonly [height: number, width: number];
  /** Whether some of them are from a lossy format, if that is known. */
  readonly isLossy?: boolean;
  readonly pooled: Gaussian;
  readonly spatial?: Gaussian;
  /** [M, D]: for precision, recall and the kernel distance. */
  readonly features?: NDArray<"float32">;
  /** [M, h, w, 3], the images of `features`, perhaps smaller. */
  readonly pictures?: NDArray<"uint8">;
  /** [K, D], features of real images that are not in the reference: what they score, no model is expected to beat. */
  readonly heldOut?: NDArray<"float32">;
}

/** Largest side of a stored picture. */
export const pictureSide = 64;

/**
 * @throws InputError if the reference is of other features than the network's, or of images of another size than those
 *   that are compared with it.
 */
export function requireComparable(
  reference: Pick<Reference, "name" | "network" | "size">,
  network: Named,
  { height, width, name }: Pick<ImageSet, "height" | "width" | "name">,
): void {
  const { network: own, size } = reference;
  if (own && JSON.stringify(decisive(own)) !== JSON.stringify(decisive(network))) {
    throw new InputError(
      `${reference.name}: expected features of ${networkText(network)}, found those of ${networkText(own)}; ` +
        "make the reference again with this network, or choose that one",
    );
  }
  if (size && (size[0] !== height || size[1] !== width)) {
    throw new InputError(
      `${reference.name}: expected images of ${height} × ${width} as in ${name}, found ${size[0]} × ${size[1]}; ` +
        "features of images that were enlarged or reduced differ: take a reference of the same size, or crop a folder of images with --size",
    );
  }
}

type Named = Pick<FeatureNetwork, "name" | "settings">;

/** What two networks must have in common. Inception's weights are published in several files that agree to rounding. */
const decisive = ({ name, settings }: Named) => (name === inceptionName ? [name, settings.resize] : [name, settings]);

/** @throws InputError if a reference has not the dimensions of these features. */
export function requireDimensions(
  { name, pooled, spatial }: Reference,
  features: Pick<ImageFeatures, "pooled" | "spatial">,
  network: string,
): void {
  const sides = [
    ["features", pooled, features.pooled] as const,
    ["spatial features", spatial, features.spatial] as const,
  ];
  for (const [what, stored, own] of sides) {
    const [expected, found] = [own?.shape[1], stored?.mean.length];
    if (expected === undefined || found === undefined || expected === found) continue;
    throw new InputError(
      `${name}: expected ${expected} ${what} as ${network} gives, found ${found}; it is of another network`,
    );
  }
}

/** A network with its settings in a line. */
export function networkText({ name, settings }: Named): string {
  const parts = Object.entries(settings).map(([key, value]) => `${key} ${shortened(value)}`);
  return parts.length > 0 ? `${name} (${parts.join(", ")})` : name;
}

const shortened = (value: string | number | boolean): string =>
  typeof value === "string" && /^[0-9a-f]{64}$/.test(value) ? `${value.slice(0, 12)}…` : String(value);
