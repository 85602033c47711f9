/** A model's own error curves: a few images drawn without a cache, and how the branches changed on the way. */
import { InputError } from "../../array/input-error.ts";
import { type NDArray, zeros } from "../../array/ndarray.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { placeWeights } from "../../weights/placed-weights.ts";
import type { SamplerRequest } from "../image-sampler.ts";
import { noisyBatch } from "../sample-noise.ts";
import type { SamplingLoop } from "../sampling-loop.ts";
import { type BranchKind, type BranchOutput, branchKinds, runCached } from "./cached-blocks.ts";
import { type CacheCurves, CurveMeter, MAX_AGE } from "./error-curves.ts";

/** Few rows at once, because the deltas of {@link MAX_AGE} + 1 evaluations are kept; one row would take other kernels. */
const BATCH = 2;

/** The same for every seed: a schedule belongs to a model and how it is sampled. */
const SEED = 0;
const PURPOSE = "cache calibration";

/**
 * Draws `images` images of classes all over the range and measures their branches.
 * @throws InputError where no block runs, or numbers are not finite; the signal's reason if aborted.
 */
export async function measureCurves(
  request: SamplerRequest,
  loop: SamplingLoop & { readonly evaluations: number },
  images: number,
): Promise<CacheCurves> {
  const { model, engine, weights, signal } = request;
  const deltas = new Map<string, BranchOutput>();
  const outputs = loop.outputs(BATCH, runCached(new Set(), deltas, request.runBlock));
  const branches = branchCounts(deltas);
  const { fed, options } = placeWeights(weights);
  const values = Object.fromEntries(Array.from(deltas, ([name, { value }]) => [name, value]));
  const session = await engine.compile({ outputs: { ...outputs, ...values } }, options);
  const meter = new CurveMeter(new Map(Array.from(deltas, ([name, { kind }]) => [name, kind])), loop.evaluations);
  const ages = Array.from({ length: MAX_AGE + 1 }, () => deltaArrays(values));
  try {
    for (let first = 0; first < images; first += BATCH) {
      const rows = Math.min(BATCH, images - first);
      const y = Int32Array.from({ length: BATCH }, (_, row) =>
        Math.floor((((first + row) % images) * model.config.numClasses) / images),
      );
      let evaluation = 0;
      const batch = noisyBatch(model.config, { seed: SEED, purpose: PURPOSE, first, rows, y });
      await loop.draw(async (feeds) => {
        signal?.throwIfAborted();
        const now = ages[evaluation % ages.length]!;
        const found = await session.run({ ...fed, ...feeds }, now);
        for (let age = 1; age <= Math.min(MAX_AGE, evaluation); age++) {
          const before = ages[(evaluation - age) % ages.length]!;
          meter.compare(evaluation - age, age, [before, now], BATCH, rows);
        }
        evaluation++;
        return found;
      }, batch);
    }
  } finally {
    await session.release();
  }
  const { evaluations, process, settings } = loop;
  return { measured: { images, evaluations, branches, process, settings }, errors: meter.errors() };
}

/** How many branches of each kind there are. @throws InputError for none at all. */
export function branchCounts(deltas: ReadonlyMap<string, BranchOutput>): Record<BranchKind, number> {
  if (deltas.size === 0) {
    throw new InputError(
      "caching: no attention or MLP of this model runs, so there is nothing to reuse; sample without --cache",
    );
  }
  const kinds = Array.from(deltas.values(), ({ kind }) => kind);
  const counts = branchKinds.map((kind) => [kind, kinds.filter((one) => one === kind).length] as const);
  return Object.fromEntries(counts) as Record<BranchKind, number>;
}

/** An array for every tensor, each of fixed size. */
export const deltaArrays = (values: Readonly<Record<string, Tensor>>): Record<string, NDArray> =>
  Object.fromEntries(
    Object.entries(values).map(([name, { shape }]) => [name, zeros("float32", shape as readonly number[])]),
  );
