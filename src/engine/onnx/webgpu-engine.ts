/** ONNX Runtime on a GPU through WebGPU: arrays stay in buffers of the GPU from run to run. */
import * as ort from "onnxruntime-node";
import { InputError } from "../../array/input-error.ts";
import { type DType, NDArray, sizeOf } from "../../array/ndarray.ts";
import { asFloat32 } from "../../formats/float16.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { CompileOptions, DeviceArray, Engine, Inputs, Program } from "../engine.ts";
import { encodeModel } from "./model.ts";
import {
  checkedInput,
  fromOrt,
  goneArray,
  type OpenedSession,
  openSession,
  refuseDonatedTwice,
  requireTypes,
  sessionOptions,
  toOrt,
  withOwnNames,
} from "./session.ts";
import { webgpuLowering } from "./webgpu-lowering.ts";

export interface WebgpuEngineOptions {
  /** Threads for what the provider has no kernel for: that runs on the CPU. */
  readonly threads?: number;
}

/** An engine on a GPU. @throws InputError where there is no WebGPU. */
export function webgpuEngine({ threads = 2 }: WebgpuEngineOptions = {}): Engine {
  const isKnown = ort.listSupportedBackends().some(({ name }) => name === "webgpu");
  if (!isKnown) throw new InputError(`webgpu: onnxruntime-node has no WebGPU on ${process.platform} ${process.arch}`);
  const options = sessionOptions(["webgpu", "cpu"], threads);
  const copies = new Copies(options);
  return {
    name: "webgpu",
    put: (value) => copies.toDevice(value),
    async compile(graph, { constants = new Map(), donate = [] }: CompileOptions = {}) {
      requireTypes("webgpu", graph, ["bfloat16", "int8"]);
      const preferredOutputLocation = Object.fromEntries(withOwnNames(graph).map(([, own, x]) => [own, locationOf(x)]));
      const opened = await openSession(graph, webgpuLowering, { ...options, preferredOutputLocation }).catch(
        withoutAdapter,
      );
      const kept = new Map<string, GpuArray>();
      for (const [name, weight] of constants) {
        kept.set(name, await copies.toDevice(asFloat32(weight instanceof NDArray ? weight : await weight.read())));
      }
      return new GpuProgram(opened, copies, kept, donate);
    },
    release: () => copies.release(),
  };
}

/** Outputs up to this size go to the host at once: terms and norms are read after each step anyway. */
const SMALL = 1024;

type Location = "cpu" | "gpu-buffer";

function locationOf({ shape }: Tensor): Location {
  const isFixed = shape.every((dim) => typeof dim === "number");
  return isFixed && sizeOf(shape as readonly number[]) <= SMALL ? "cpu" : "gpu-buffer";
}

/** ONNX Runtime looks for a GPU when the first session starts; anything else that fails is a defect. */
function withoutAdapter(error: unknown): never {
  const message = error instanceof Error ? error.message : String(error);
  if (!/WebGPU (adapter|device)/.test(message)) throw error;
  throw new InputError(`webgpu: no GPU was found: ${message.split(": ").at(-1)!.trim()}`);
}

/** An array in a buffer of the GPU, or a small one on the host. */
class GpuArray implements DeviceArray {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly #copies: Copies;
  #tensor: ort.Tensor | undefined;

  constructor(tensor: ort.Tensor, copies: Copies) {
    this.dtype = tensor.type as DType;
    this.shape = tensor.dims;
    this.#tensor = tensor;
    this.#copies = copies;
  }

  async read(): Promise<NDArray> {
    return fromOrt(await this.#copies.toHost(this.tensor));
  }

  release(): void {
    this.#tensor?.dispose();
    this.#tensor = undefined;
  }

  /** @throws InputError once it was released or donated. */
  get tensor(): ort.Tensor {
    if (!this.#tensor) throw goneArray(this);
    return this.#tensor;
  }
}

/** Sessions that copy one array to the GPU or from it: the runtime offers no other way. */
class Copies {
  readonly #options: ort.InferenceSession.SessionOptions;
  readonly #sessions = new Map<string, Promise<ort.InferenceSession>>();

  constructor(options: ort.InferenceSession.SessionOptions) {
    this.#options = options;
  }

  async toDevice(value: NDArray): Promise<GpuArray> {
    return new GpuArray(value.size === 0 ? toOrt(value) : await this.#copy(toOrt(value), "gpu-buffer"), this);
  }

  async toHost(tensor: ort.Tensor): Promise<ort.Tensor> {
    return tensor.location === "cpu" ? tensor : this.#copy(tensor, "cpu");
  }

  async #copy(x: ort.Tensor, preferredOutputLocation: Location): Promise<ort.Tensor> {
    const key = `${x.type} ${preferredOutputLocation}`;
    const session = this.#sessions.get(key) ?? this.#open(x.type as DType, preferredOutputLocation);
    this.#sessions.set(key, session);
    return (await (await session).run({ x })).y!;
  }

  #open(dtype: DType, preferredOutputLocation: Location): Promise<ort.InferenceSession> {
    const node = { opType: "Identity", inputs: ["x"], outputs: ["y"], attributes: {}, domain: "" };
    const value = (name: string) => ({ name, dtype, shape: [] });
    const model = { nodes: [node], inputs: [value("x")], outputs: [value("y")], initializers: [], withoutShapes: true };
    return ort.InferenceSession.create(encodeModel(model), { ...this.#options, preferredOutputLocation }).catch(
      withoutAdapter,
    );
  }

  async release(): Promise<void> {
    for (const session of this.#sessions.values()) await (await session).release();
    this.#sessions.clear();
  }
}

class GpuProgram implements Program {
  readonly #opened: OpenedSession;
  readonly #copies: Copies;
  readonly #constants: ReadonlyMap<string, GpuArray>;
  readonly #donate: readonly string[];

  constructor(
    opened: OpenedSession,
    copies: Copies,
    constants: ReadonlyMap<string, GpuArray>,
    donate: readonly string[],
  ) {
    this.#opened = opened;
    this.#copies = copies;
    this.#constants = constants;
    this.#donate = donate;
  }

  async run(inputs: Inputs): Promise<Record<string, DeviceArray>> {
    refuseDonatedTwice(this.#donate, inputs);
    const sizes = new Map<string, number>();
    const feeds: Record<string, ort.Tensor> = {};
    for (const expected of this.#opened.inputs) {
      const found = checkedInput(expected, inputs[expected.name] ?? this.#constants.get(expected.name), sizes);
      feeds[expected.name] = found instanceof GpuArray ? found.tensor : toOrt(found as NDArray);
    }
    const results = await this.#opened.session.run(feeds);
    for (const name of this.#donate) {
      const array = inputs[name];
      if (array instanceof GpuArray) array.release();
    }
    const arrayOf = (inSession: string) => new GpuArray(results[inSession]!, this.#copies);
    return Object.fromEntries(this.#opened.outputs.map(([name, inSession]) => [name, arrayOf(inSession)]));
  }

  async release(): Promise<void> {
    for (const array of this.#constants.values()) array.release();
    await this.#opened.session.release();
  }
}
