/** Many weights in one buffer: the optimizer sees a vector, the model sees names. */
import { float32, type NDArray, sizeOf } from "../array/ndarray.ts";
import type { WeightSpec } from "../nn/params.ts";

/** Named views into one float32 vector, in the order of the specs. */
export class FlatWeights {
  readonly values: Float32Array;
  readonly arrays: ReadonlyMap<string, NDArray<"float32">>;

  constructor(specs: readonly Pick<WeightSpec, "name" | "shape">[]) {
    this.values = new Float32Array(specs.reduce((total, { shape }) => total + sizeOf(shape), 0));
    const arrays = new Map<string, NDArray<"float32">>();
    let offset = 0;
    for (const { name, shape } of specs) {
      const end = offset + sizeOf(shape);
      arrays.set(name, float32(this.values.subarray(offset, end), shape));
      offset = end;
    }
    this.arrays = arrays;
  }

  /** Copies values by name; every name of this vector must be there. */
  load(source: ReadonlyMap<string, NDArray>): this {
    for (const name of this.arrays.keys()) {
      const found = source.get(name);
      if (!found) throw new Error(`no value for ${name}`);
      this.set(name, found);
    }
    return this;
  }

  /** Copies the values of one weight. */
  set(name: string, { data }: NDArray): void {
    this.arrays.get(name)!.data.set(data as Float32Array);
  }

  get size(): number {
    return this.values.length;
  }
}
