/** One function of images for batches of any size: a session for each height and width, with a fixed number of rows. */
import { NDArray, sizeOf, stackedRows } from "../../array/ndarray.ts";
import type { Engine, NamedArrays, Session } from "../../engine/engine.ts";
import { input } from "../../graph/build.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { Params } from "../../nn/params.ts";

type Images = NDArray<"float32">; // [N, C, H, W]

/** A traced function of x [N, C, H, W]. */
export type ImageFunction = (p: Params, x: Tensor) => Tensor;

/** Rows of one run. */
export type RowCount = (height: number, width: number) => number;

/** A row of tiles has at most three widths: whole, short, and a sliver. More sessions would hold memory for nothing. */
const KEPT = 3;

/**
 * Compiles a session when a size first comes, and keeps the last few. Runs of a size always have the same number of
 * rows, the last one padded with zeros: so an image gives the same bits in whatever batch it comes.
 */
export class SizedSessions {
  readonly #engine: Engine;
  readonly #compute: ImageFunction;
  readonly #weights: NamedArrays;
  readonly #rowsOf: RowCount;
  /** By size, in order of last use. */
  readonly #sessions = new Map<string, Session>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(engine: Engine, compute: ImageFunction, weights: ReadonlyMap<string, Images>, rowsOf: RowCount) {
    this.#engine = engine;
    this.#compute = compute;
    this.#weights = Object.fromEntries(weights);
    this.#rowsOf = rowsOf;
  }

  /** The function's value [N, …] for x [N, C, H, W]. Calls wait for each other. */
  run(x: Images): Promise<Images> {
    return this.#next(() => this.#run(x));
  }

  /** Gives back the memory of all sessions; a later call compiles anew. */
  release(): Promise<void> {
    return this.#next(async () => {
      for (const session of this.#sessions.values()) await session.release();
      this.#sessions.clear();
    });
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {}); // the caller of this call sees its error, the next one does not
    return result;
  }

  async #run(x: Images): Promise<Images> {
    const [n, ...shape] = x.shape as readonly [number, number, number, number];
    const rows = this.#rowsOf(shape[1], shape[2]);
    const session = await this.#sessionFor([rows, ...shape]);
    const batch = new NDArray("float32", [rows, ...shape], new Float32Array(rows * sizeOf(shape)));
    const parts: Images[] = [];
    for (let first = 0; first < n; first += rows) {
      const last = Math.min(n, first + rows);
      batch.data.fill(0).set(x.rows(first, last).data);
      const { y } = await session.run({ ...this.#weights, x: batch });
      parts.push((y as Images).rows(0, last - first));
    }
    return stackedRows(parts);
  }

  async #sessionFor(shape: readonly number[]): Promise<Session> {
    const key = String(shape);
    const session = this.#sessions.get(key) ?? (await this.#compile(shape));
    this.#sessions.delete(key);
    this.#sessions.set(key, session);
    return session;
  }

  async #compile(shape: readonly number[]): Promise<Session> {
    const [oldest] = this.#sessions;
    if (oldest && this.#sessions.size >= KEPT) {
      await oldest[1].release();
      this.#sessions.delete(oldest[0]);
    }
    return this.#engine.compile({ outputs: { y: this.#compute(new Params(), input("x", shape)) } });
  }
}
