/** What a request says of step caching. */
import { InputError } from "../../array/input-error.ts";
import type { CacheCurves } from "./error-curves.ts";

export interface CacheSampling {
  /** Attention and MLP of a step nearby are reused while their relative change stays below this; 0 is never. */
  readonly cache?: number;
  /** Images that the change is measured on. */
  readonly cacheImages?: number;
  /** The change as it was measured before, or the JSON file that holds it. */
  readonly cacheCurves?: CacheCurves | string;
}

const cacheDefaults = { cacheImages: 8 } as const;

/** How a run caches. */
export interface CachePlan {
  readonly tolerance: number;
  /** Images to measure on, or what was measured. */
  readonly source: { readonly images: number } | { readonly curves: CacheCurves | string };
}

/** The plan, if there is one. @throws InputError for settings that mean nothing, or nothing together. */
export function cachePlan({ cache, cacheImages, cacheCurves }: CacheSampling): CachePlan | undefined {
  if (cache === undefined) {
    if (cacheImages === undefined && cacheCurves === undefined) return undefined;
    throw new InputError(
      "caching: images or curves of a cache were given without a tolerance; give one as well, such as --cache 0.2",
    );
  }
  if (!(Number.isFinite(cache) && cache >= 0)) {
    throw new InputError(`caching: expected a tolerance of at least 0, such as 0.2, got ${cache}`);
  }
  if (cacheImages !== undefined && cacheCurves !== undefined) {
    throw new InputError("caching: curves that are given need no images to be measured on; give one of the two");
  }
  const images = cacheImages ?? cacheDefaults.cacheImages;
  if (!(Number.isInteger(images) && images >= 1)) {
    throw new InputError(`caching: expected at least 1 image to measure on, got ${images}`);
  }
  if (cache === 0) return undefined;
  return { tolerance: cache, source: cacheCurves === undefined ? { images } : { curves: cacheCurves } };
}

/** What is noted of a cache beside the settings of a sampler. @throws as {@link cachePlan}. */
export function notedCache(settings: CacheSampling): Pick<CacheSampling, "cache" | "cacheImages"> {
  const { cache } = settings;
  const plan = cachePlan(settings);
  return {
    ...(cache !== undefined && { cache }),
    ...(plan && "images" in plan.source && { cacheImages: plan.source.images }),
  };
}

/** Settings whose cache takes what was measured before; as they are if nothing was. */
export function withCurves<S extends CacheSampling>(settings: S, curves: CacheCurves | undefined) {
  const { cacheImages, ...others } = settings;
  return curves === undefined ? settings : { ...others, cacheCurves: curves }; // which say on how many images
}

/** @throws InputError if a cache is asked for. */
export function refuseCache({ cache, cacheImages, cacheCurves }: CacheSampling, why: string): void {
  if (cache === undefined && cacheImages === undefined && cacheCurves === undefined) return;
  throw new InputError(`caching: ${why}; leave the cache out`);
}
