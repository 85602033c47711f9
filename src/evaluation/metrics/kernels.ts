/** The engine at work for metrics: small graphs, compiled at first use and kept until all metrics are computed. */
import { NDArray } from "../../array/ndarray.ts";
import type { Engine, NamedArrays, Session } from "../../engine/engine.ts";
import { input, matmul } from "../../graph/build.ts";
import { symbolicDim } from "../../graph/dim.ts";
import type { Graph } from "../../graph/graph.ts";

/** Graphs that run again and again, on blocks of features. */
export interface MetricKernels {
  /** Runs the graph called `name`; `build` makes it when it is asked for first. Outputs named in `into` are written there. */
  run(name: string, build: () => Graph, feeds: NamedArrays, into?: NamedArrays): Promise<Record<string, NDArray>>;
  release(): Promise<void>;
}

/** Kernels of an engine. Most of them compute in float64, which a GPU provider leaves to the CPU. */
export function openMetricKernels(engine: Engine): MetricKernels {
  const sessions = new Map<string, Promise<Session>>();
  return {
    async run(name, build, feeds, into) {
      const session = sessions.get(name) ?? engine.compile(build());
      sessions.set(name, session);
      return (await session).run(feeds, into);
    },
    async release() {
      const opened = await Promise.allSettled(sessions.values());
      sessions.clear();
      for (const result of opened) if (result.status === "fulfilled") await result.value.release();
    },
  };
}

/** Runs `use` with kernels that are released afterwards, also if it fails. */
export async function withMetricKernels<T>(engine: Engine, use: (kernels: MetricKernels) => Promise<T>): Promise<T> {
  const kernels = openMetricKernels(engine);
  try {
    return await use(kernels);
  } finally {
    await kernels.release();
  }
}

/** A row-major float64 matrix. */
export type Matrix = NDArray<"float64">;

export const matrix = (data: Float64Array, rows: number, columns: number): Matrix =>
  new NDArray("float64", [rows, columns], data);

/** The product op(a) op(b) of float64 matrices, where op may transpose. */
export async function product(
  kernels: MetricKernels,
  a: Matrix,
  b: Matrix,
  flags: { readonly transposeA?: boolean; readonly transposeB?: boolean } = {},
): Promise<Matrix> {
  const { transposeA = false, transposeB = false } = flags;
  const build = (): Graph => {
    const [m, inner, n] = ["m", "inner", "n"].map((name) => symbolicDim(name));
    const left = input("a", transposeA ? [inner!, m!] : [m!, inner!], "float64");
    const right = input("b", transposeB ? [n!, inner!] : [inner!, n!], "float64");
    return { outputs: { y: matmul(left, right, { transposeA, transposeB }) } };
  };
  return (await kernels.run(`product ${transposeA} ${transposeB}`, build, { a, b })).y as Matrix;
}

/** [start, end) of consecutive blocks of about equal size, at most `largest`; from 3 on, none has one row unless `n` is 1. */
export function blocksOf(n: number, largest: number): { readonly start: number; readonly end: number }[] {
  const count = Math.ceil(n / largest);
  return Array.from({ length: count }, (_, i) => ({
    start: Math.floor((i * n) / count),
    end: Math.floor(((i + 1) * n) / count),
  }));
}
