/** An engine that keeps the graphs it is given and builds a program only when it is first run, or when all are asked for. */
import type { Graph } from "../graph/graph.ts";
import type { CompileOptions, Engine, Program } from "./engine.ts";

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
  const waiting = new Set<() => Promise<Program>>();
  return {
    ...engine,
    compiled,
    async compile(graph, options = {}): Promise<Program> {
      compiled.push({ graph, options });
      let program: Program | undefined;
      const built = async () => {
        program ??= await engine.compile(graph, options);
        waiting.delete(built);
        return program;
      };
      waiting.add(built);
      return {
        run: async (inputs) => (await built()).run(inputs),
        async release() {
          waiting.delete(built);
          await program?.release();
        },
      };
    },
    async build() {
      for (const built of waiting) await built();
    },
  };
}
