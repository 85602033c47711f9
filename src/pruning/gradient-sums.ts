/** Gradients of a loss for named weights, summed over the runs of one graph. */

import type { Engine, NamedArrays } from "../engine/engine.ts";
import { gradient } from "../graph/gradient.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Params } from "../nn/params.ts";
import { placeWeights, type Weight } from "../weights/placed-weights.ts";

/** Begins the name of an output: the weight itself is called by its own. */
const GRADIENT = "gradient of ";

/** The outputs of a graph that are ∂loss/∂w of the named weights. */
export function gradientOutputs(loss: Tensor, p: Params, names: readonly string[]): Record<string, Tensor> {
  const gradients = gradient(
    loss,
    names.map((name) => p.tensor(name)),
  );
  return Object.fromEntries(names.map((name, i) => [`${GRADIENT}${name}`, gradients[i]!]));
}

/** Sums in float32, in the order of the runs. */
export class GradientSums {
  /** By the weight's name, each as long as its weight. */
  readonly values = new Map<string, Float32Array>();

  /** Adds those results of a run that are gradients. */
  add(results: NamedArrays): void {
    for (const [output, { data }] of Object.entries(results)) {
      if (!output.startsWith(GRADIENT)) continue;
      const name = output.slice(GRADIENT.length);
      const [sum, part] = [this.values.get(name), data as Float32Array];
      if (!sum) this.values.set(name, part.slice());
      else for (let i = 0; i < sum.length; i++) sum[i]! += part[i]!;
    }
  }
}

/** Compiles the outputs and runs them over the batches. @throws the signal's reason if it is aborted. */
export async function runOver<B extends { readonly feeds: NamedArrays }>(
  {
    engine,
    weights,
    signal,
  }: { engine: Engine; weights: ReadonlyMap<string, Weight>; signal?: AbortSignal | undefined },
  outputs: Readonly<Record<string, Tensor>>,
  batches: Iterable<B>,
  use: (results: NamedArrays, batch: B) => void,
): Promise<void> {
  const { fed, options } = placeWeights(weights);
  const session = await engine.compile({ outputs }, options);
  try {
    for (const batch of batches) {
      signal?.throwIfAborted();
      use(await session.run({ ...fed, ...batch.feeds }), batch);
    }
  } finally {
    await session.release();
  }
}
