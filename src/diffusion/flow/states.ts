/** States of an integrator on the device: the programs that add them up, and the memory they take. N rows. */
import { NDArray } from "../../array/ndarray.ts";
import type { DeviceArray, Engine, Inputs, Program } from "../../engine/engine.ts";
import { add, cast, input, mul } from "../../graph/build.ts";
import type { Tensor } from "../../graph/tensor.ts";

/** Owns every array that was made since the last `keep`. */
export class States {
  readonly #engine: Engine;
  readonly #programs = new Map<string, Program>();
  readonly #owned = new Set<DeviceArray>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  async put(value: NDArray): Promise<DeviceArray> {
    return this.own(await this.#engine.put(value));
  }

  own(array: DeviceArray): DeviceArray {
    this.#owned.add(array);
    return array;
  }

  /** Runs the graph of this name, compiled when it is first asked for. */
  async compute<K extends string>(
    name: string,
    outputs: () => Readonly<Record<K, Tensor>>,
    inputs: Inputs,
  ): Promise<Readonly<Record<K, DeviceArray>>> {
    const program = this.#programs.get(name) ?? (await this.#engine.compile({ outputs: outputs() }));
    this.#programs.set(name, program);
    const results = await program.run(inputs);
    for (const array of Object.values(results)) this.own(array);
    return results as Record<K, DeviceArray>;
  }

  /** x + Σ factor · y. Each term is added in float64, where the device has it, and the sum is rounded to float32. */
  async addScaled(
    x: DeviceArray,
    ...terms: readonly (readonly [factor: number, y: DeviceArray])[]
  ): Promise<DeviceArray> {
    const inputs: Record<string, DeviceArray | NDArray> = { x };
    for (const [i, [factor, y]] of terms.entries()) {
      inputs[`factor${i}`] = float64([factor], []);
      inputs[`y${i}`] = y;
    }
    const { sum } = await this.compute(
      `${terms.length} terms of ${x.shape}`,
      () => {
        const next = (sum: Tensor, _: unknown, i: number) =>
          cast(add(wide(sum), mul(input(`factor${i}`, [], "float64"), wide(input(`y${i}`, x.shape)))), "float32");
        return { sum: terms.reduce(next, input("x", x.shape)) };
      },
      inputs,
    );
    return sum;
  }

  /** Frees all others. */
  keep(...arrays: readonly DeviceArray[]): void {
    for (const array of this.#owned) {
      if (arrays.includes(array)) continue;
      array.release();
      this.#owned.delete(array);
    }
  }

  /** The values of a last state; nothing else stays. */
  async finish(x: DeviceArray): Promise<NDArray> {
    const values = await x.read();
    this.keep();
    return values;
  }

  async release(): Promise<void> {
    this.keep();
    for (const program of this.#programs.values()) await program.release();
  }
}

export const wide = (x: Tensor): Tensor => cast(x, "float64");

export const float64 = (values: ArrayLike<number>, shape: readonly number[]): NDArray<"float64"> =>
  new NDArray("float64", shape, Float64Array.from(values));
