/** An engine that counts what is compiled and run on it. */
import type { Engine } from "../../src/engine/engine.ts";

export interface CountedEngine extends Engine {
  readonly counters: { programs: number; runs: number };
}

export function countedEngine(engine: Engine): CountedEngine {
  const counters = { programs: 0, runs: 0 };
  return {
    ...engine,
    counters,
    async compile(graph, options) {
      const program = await engine.compile(graph, options);
      counters.programs++;
      return {
        run(inputs) {
          counters.runs++;
          return program.run(inputs);
        },
        release: () => program.release(),
      };
    },
  };
}
