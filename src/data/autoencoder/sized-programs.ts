/** One function of images for batches of any size: a program for each height and width, with a fixed number of rows. */
import { NDArray, sizeOf, stackedRows } from "../../array/ndarray.ts";
import { type DeviceArray, type Engine, type Program, putAll, runAndRead } from "../../engine/engine.ts";
import { input } from "../../graph/build.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { Params } from "../../nn/params.ts";

type Images = NDArray<"float32">; // [N, C, H, W]

/** A traced function of x [N, C, H, W]. */
export type ImageFunction = (p: Params, x: Tensor) => Tensor;

/** Rows of one run. */
export type RowCount = (height: number, width: number) => number;

/** A row of tiles has at most three widths: whole, short, and a sliver. More programs would hold memory for nothing. */
const KEPT = 3;

/**
 * Compiles a program when a size first comes, and keeps the last few. Runs of a size always have the same number of
 * rows, the last one padded with zeros: so an image gives the same bits in whatever batch it comes.
 */
export class SizedPrograms {
  readonly #engine: Engine;
  readonly #compute: ImageFunction;
  readonly #values: ReadonlyMap<string, Images>;
  /** On the device, from the first run on. */
  #weights: Promise<Record<string, DeviceArray>> | undefined;
  readonly #rowsOf: RowCount;
  /** By size, in order of last use. */
  readonly #programs = new Map<string, Program>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(engine: Engine, compute: ImageFunction, weights: ReadonlyMap<string, Images>, rowsOf: RowCount) {
    this.#engine = engine;
    this.#compute = compute;
    this.#values = weights;
    this.#rowsOf = rowsOf;
  }

  /** The function's value [N, …] for x [N, C, H, W]. Calls wait for each other. */
  run(x: Images): Promise<Images> {
    return this.#next(() => this.#run(x));
  }

  /** Gives back the memory of all programs; a later call compiles anew. */
  release(): Promise<void> {
    return this.#next(async () => {
      for (const program of this.#programs.values()) await program.release();
      this.#programs.clear();
      for (const array of Object.values((await this.#weights) ?? {})) array.release();
      this.#weights = undefined;
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
    this.#weights ??= putAll(this.#engine, this.#values);
    const weights = await this.#weights;
    const program = await this.#programFor([rows, ...shape]);
    const batch = new NDArray("float32", [rows, ...shape], new Float32Array(rows * sizeOf(shape)));
    const parts: Images[] = [];
    for (let first = 0; first < n; first += rows) {
      const last = Math.min(n, first + rows);
      batch.data.fill(0).set(x.rows(first, last).data);
      const { y } = await runAndRead(program, { ...weights, x: batch });
      parts.push((y as Images).rows(0, last - first));
    }
    return stackedRows(parts);
  }

  async #programFor(shape: readonly number[]): Promise<Program> {
    const key = String(shape);
    const program = this.#programs.get(key) ?? (await this.#compile(shape));
    this.#programs.delete(key);
    this.#programs.set(key, program);
    return program;
  }

  async #compile(shape: readonly number[]): Promise<Program> {
    const [oldest] = this.#programs;
    if (oldest && this.#programs.size >= KEPT) {
      await oldest[1].release();
      this.#programs.delete(oldest[0]);
    }
    return this.#engine.compile({ outputs: { y: this.#compute(new Params(), input("x", shape)) } });
  }
}
