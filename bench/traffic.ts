/** What crosses between host and device: an engine that counts bytes. */
import { bytesPerElement, NDArray, sizeOf } from "../src/array/ndarray.ts";
import type { DeviceArray, Engine } from "../src/engine/engine.ts";

export interface Traffic {
  /** Bytes of host arrays that were put or fed. */
  toDevice: number;
  /** Bytes that were read. */
  toHost: number;
  /** Bytes of arrays on the device that nobody released, and the most there ever were. */
  alive: number;
  peak: number;
}

const bytesOf = ({ dtype, shape }: Pick<DeviceArray, "dtype" | "shape">): number =>
  bytesPerElement(dtype) * sizeOf(shape);

/** The engine, and a count that goes on as long as it lives. Memory inside a run is not seen from here. */
export function counted(engine: Engine): { readonly engine: Engine; readonly traffic: Traffic } {
  const traffic: Traffic = { toDevice: 0, toHost: 0, alive: 0, peak: 0 };
  const living = new Set<DeviceArray>();
  const end = (array: DeviceArray): void => {
    if (living.delete(array)) traffic.alive -= bytesOf(array);
  };
  /** The array itself, watched: engines know their own arrays only. */
  const watch = (array: DeviceArray): DeviceArray => {
    living.add(array);
    traffic.alive += bytesOf(array);
    traffic.peak = Math.max(traffic.peak, traffic.alive);
    const [read, release] = [array.read.bind(array), array.release.bind(array)];
    return Object.assign(array, {
      read() {
        traffic.toHost += bytesOf(array);
        return read();
      },
      release() {
        end(array);
        release();
      },
    });
  };
  return {
    traffic,
    engine: {
      ...engine,
      async put(value) {
        traffic.toDevice += bytesOf(value);
        return watch(await engine.put(value));
      },
      async compile(graph, options) {
        const program = await engine.compile(graph, options);
        return {
          ...program,
          async run(inputs) {
            for (const value of Object.values(inputs)) if (value instanceof NDArray) traffic.toDevice += bytesOf(value);
            const results = await program.run(inputs);
            for (const name of options?.donate ?? []) {
              const donated = inputs[name];
              if (donated && !(donated instanceof NDArray)) end(donated);
            }
            for (const array of Object.values(results)) watch(array);
            return results;
          },
          release: () => program.release(),
        };
      },
    },
  };
}
