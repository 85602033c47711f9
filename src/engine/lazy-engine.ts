/** An engine that keeps the graphs it is given and builds a session only when it is first run, or when all are asked for. */
import type { Graph } from "../graph/graph.ts";
import type { CompileOptions, Engine, Session } from "./engine.ts";

/** A graph as it was given to the engine. */
export interface Compiled {
  readonly graph: Graph;
  readonly options: CompileOptions;
}

export interface LazyEngine extends Engine {
  /** Everything compiled so far. */
  readonly compiled: readonly Compiled[];
  /** Builds what was not run yet and not released, so that the first run takes no longer than the others. */
  build(): Promise<void>;
}

export function lazyEngine(engine: Engine): LazyEngine {
  const compiled: Compiled[] = [];
  const waiting = new Set<() => Promise<Session>>();
  return {
    provider: engine.provider,
    counters: engine.counters,
    compiled,
    async compile(graph, options = {}): Promise<Session> {
      compiled.push({ graph, options });
      let session: Session | undefined;
      const built = async () => {
        session ??= await engine.compile(graph, options);
        waiting.delete(built);
        return session;
      };
      waiting.add(built);
      return {
        run: async (feeds, into) => (await built()).run(feeds, into),
        async release() {
          waiting.delete(built);
          await session?.release();
        },
      };
    },
    async build() {
      for (const built of waiting) await built();
    },
  };
}
