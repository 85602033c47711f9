/** An engine that keeps the graphs it is given and builds a session only when one is first run. */
import type { Graph } from "../graph/graph.ts";
import type { CompileOptions, Engine, Session } from "../onnx/session.ts";

/** A graph as it was given to the engine. */
export interface Compiled {
  readonly graph: Graph;
  readonly options: CompileOptions;
}

export interface LazyEngine extends Engine {
  /** Everything compiled so far. */
  readonly compiled: readonly Compiled[];
}

export function lazyEngine(engine: Engine): LazyEngine {
  const compiled: Compiled[] = [];
  return {
    provider: engine.provider,
    counters: engine.counters,
    compiled,
    async compile(graph, options = {}): Promise<Session> {
      compiled.push({ graph, options });
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
