/** An engine that counts the arithmetic of what it runs, so that any sampler's cost is known whatever it does. */

import type { CompileOptions, Engine, NamedArrays, Session } from "../../engine/engine.ts";
import { nodesOf, symbolSources } from "../../graph/graph.ts";
import { graphCost } from "../../graph/graph-cost.ts";
import { simplify } from "../../graph/simplify.ts";

/** What all sessions have run so far. */
export interface RunCount {
  /** Runs of all sessions. */
  runs: number;
  /** Multiply-accumulates of their matrix products and convolutions. */
  macs: number;
}

export interface CountingEngine extends Engine {
  readonly count: RunCount;
}

/** `engine`, with a count of its own: sizes that are known only at a run are taken from what the run is fed. */
export function countingEngine(engine: Engine): CountingEngine {
  const count: RunCount = { runs: 0, macs: 0 };
  return {
    ...engine,
    count,
    async compile(graph, options?: CompileOptions): Promise<Session> {
      const session = await engine.compile(graph, options);
      const merged = simplify(graph); // what is written twice is computed once
      const sources = symbolSources(nodesOf(Object.values(merged.outputs)));
      const known = new Map<string, number>();
      const macsFor = (feeds: NamedArrays): number => {
        const sizes = new Map(Array.from(sources, ([name, { input, axis }]) => [name, sizeFed(feeds, input, axis)]));
        const key = [...sizes.values()].join();
        if (!known.has(key)) known.set(key, graphCost(merged, (name) => sizes.get(name)!).flops / 2);
        return known.get(key)!;
      };
      return {
        run(feeds, into) {
          count.macs += macsFor(feeds);
          count.runs++;
          return session.run(feeds, into);
        },
        release: () => session.release(),
      };
    },
  };
}

type Source = { readonly attributes: { readonly name: string } };

const sizeFed = (feeds: NamedArrays, { attributes }: Source, axis: number): number =>
  feeds[attributes.name]!.shape[axis]!;
