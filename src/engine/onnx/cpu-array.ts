/** Arrays in memory of the host, as device arrays of engines that compute there. */
import { NDArray } from "../../array/ndarray.ts";
import type { DeviceArray } from "../engine.ts";
import { goneArray } from "./session.ts";

/** Memory that only the engine holds. */
export interface OwnMemory {
  readonly value: NDArray;
  /** Gets the memory once the array is released. */
  readonly giveBack: (value: NDArray) => void;
}

export class CpuArray implements DeviceArray {
  readonly dtype: NDArray["dtype"];
  readonly shape: readonly number[];
  readonly #isState: boolean;
  #value: NDArray | undefined;
  /** Undefined where others hold the memory too, as of an array that was put or read: nothing may write to it then. */
  #giveBack: OwnMemory["giveBack"] | undefined;

  /** The memory of a state will be written to by the next step, so that its readers get copies. */
  constructor(value: NDArray, giveBack?: OwnMemory["giveBack"], isState = false) {
    this.dtype = value.dtype;
    this.shape = value.shape;
    this.#value = value;
    this.#giveBack = giveBack;
    this.#isState = isState;
  }

  async read(): Promise<NDArray> {
    if (this.#isState) return new NDArray(this.dtype, this.shape, this.value.data.slice());
    this.#giveBack = undefined;
    return this.value;
  }

  release(): void {
    const own = this.take();
    own?.giveBack(own.value);
  }

  /** @throws InputError once it was released or donated. */
  get value(): NDArray {
    if (!this.#value) throw goneArray(this);
    return this.#value;
  }

  /** Ends this array; its memory, if nobody else holds it. */
  take(): OwnMemory | undefined {
    const own = this.#giveBack && this.#value ? { value: this.#value, giveBack: this.#giveBack } : undefined;
    this.#value = undefined;
    return own;
  }
}

/** The memory of an input. @throws InputError for an array that was released or donated. */
export const hostValue = (input: NDArray | DeviceArray): NDArray =>
  input instanceof CpuArray ? input.value : (input as NDArray);
