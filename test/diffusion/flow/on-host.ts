/** The integrators on the CPU, with fields and states on the host. */
import type { NDArray } from "../../../src/array/ndarray.ts";
import * as dopri5 from "../../../src/diffusion/flow/dopri5.ts";
import * as ode from "../../../src/diffusion/flow/ode.ts";
import * as sde from "../../../src/diffusion/flow/sde.ts";
import { States } from "../../../src/diffusion/flow/states.ts";
import type { DeviceArray } from "../../../src/engine/engine.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";

const engine = cpuEngine({ threads: 1 });

type Velocity = (x: NDArray, t: NDArray) => Promise<NDArray>;
type Field = (x: NDArray, t: NDArray) => Promise<{ velocity: NDArray; score: NDArray }>;
type OnState = ((x: NDArray, k: number) => void) | undefined;
type Rest<F> = F extends (states: States, evaluate: never, ...rest: infer R) => unknown ? R : never;

async function withStates<T>(work: (states: States) => Promise<T>): Promise<T> {
  const states = new States(engine);
  try {
    return await work(states);
  } finally {
    await states.release();
  }
}

const onDevice =
  (velocity: Velocity): ode.EvaluateVelocity =>
  async (x, t) =>
    engine.put(await velocity(await x.read(), t));

const read = (onState: OnState) => onState && (async (x: DeviceArray, k: number) => onState(await x.read(), k));

export const integrateFixed = (
  velocity: Velocity,
  start: NDArray,
  times: ArrayLike<number>,
  method: ode.OdeMethod,
  onState?: OnState,
): Promise<NDArray> =>
  withStates((states) => ode.integrateFixed(states, onDevice(velocity), start, times, method, read(onState)));

export const integrateAdaptive = (
  velocity: Velocity,
  ...rest: Rest<typeof dopri5.integrateAdaptive>
): Promise<dopri5.AdaptiveResult> =>
  withStates((states) => dopri5.integrateAdaptive(states, onDevice(velocity), ...rest));

export function integrateSde(
  field: Field,
  start: NDArray,
  process: Parameters<typeof sde.integrateSde>[3],
  settings: sde.SdeSettings,
  noiseOf: (k: number) => NDArray,
  onState?: OnState,
): Promise<NDArray> {
  const evaluate: sde.EvaluateField = async (x, t) => {
    const { velocity, score } = await field(await x.read(), t);
    return { velocity: await engine.put(velocity), score: await engine.put(score) };
  };
  return withStates((states) => sde.integrateSde(states, evaluate, start, process, settings, noiseOf, read(onState)));
}
