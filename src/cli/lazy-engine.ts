/** An engine that keeps the graphs it is given and builds a session only when one is first run. */
import type { Graph } from "../graph/graph.ts";
import type { Engine, Session } from "../onnx/session.ts";

export interface LazyEngine extends Engine {
  /** All graphs compiled so far. */
  readonly graphs: readonly Graph[];
}

export function lazyEngine(engine: Engine): LazyEngine {
  const graphs: Graph[] = [];
  return {
    provider: engine.provider,
    counters: engine.counters,
    graphs,
    async compile(graph, options): Promise<Session> {
      graphs.push(graph);
      let session: Session | undefined;
      return {
        async run(feeds, into) {
          session ??= await engine.compile(graph, options);
          return session.run(feeds, into);
        },
        release: async () => session?.release(),
      };
    },
  };
}
