/** The devices of this machine: what each is, its memory, how fast it multiplies, and what is missing for the rest. */
import { InputError } from "../array/input-error.ts";
import { float32 } from "../array/ndarray.ts";
import { type DeviceName, describeDevice, deviceNames, openDevice } from "../engine/devices.ts";
import { type Engine, runAndRead } from "../engine/engine.ts";
import { input, matmul, sum } from "../graph/build.ts";
import { engineSettings } from "./shared-settings.ts";
import { startTask, type TaskSettings } from "./task.ts";

const { threads } = engineSettings;
export const devicesSettings = { threads } as const;

export interface FoundDevice {
  readonly name: DeviceName;
  readonly what: string;
  /** Undefined where the runtime does not tell. */
  readonly memoryBytes: number | undefined;
  /** Of float32 products, 1 GFLOPS = 10⁹ operations a second; absent where there is no such device. */
  readonly gflops?: number;
  /** Why it is not here, and what it needs. */
  readonly missing?: string;
}

/** Finds the devices and times products on each, in a few seconds. @throws SettingError; the signal's reason if aborted. */
export async function devices(settings: TaskSettings<typeof devicesSettings>): Promise<FoundDevice[]> {
  const { values, context } = await startTask(devicesSettings, settings);
  const found: FoundDevice[] = [];
  for (const name of deviceNames) {
    context.signal.throwIfAborted();
    const { needs, ...device } = describeDevice(name);
    try {
      const engine = openDevice(name, { threads: values.threads });
      found.push({ name, ...device, gflops: await matmulRate(engine, context.signal).finally(() => engine.release()) });
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      found.push({ name, ...device, missing: `${error.message}; it needs ${needs}` });
    }
  }
  return found;
}

/** Sides of the matrices: the larger ones where a product of the smaller ones takes a moment only. */
const SIDES = [512, 2048] as const;
const PRODUCTS = 4;
const SECONDS = 1;

/** GFLOPS of square float32 products that stay on the device. */
async function matmulRate(engine: Engine, signal: AbortSignal): Promise<number> {
  let rate = 0;
  for (const side of SIDES) {
    const x = input("x", [side, side]);
    const y = Array.from({ length: PRODUCTS }).reduce<typeof x>((a) => matmul(a, x), x);
    const program = await engine.compile({ outputs: { total: sum(y) } });
    const array = await engine.put(float32(new Float32Array(side * side).fill(1e-3), [side, side]));
    const secondsOf = async () => {
      signal.throwIfAborted();
      const started = performance.now();
      await runAndRead(program, { x: array });
      return (performance.now() - started) / 1000;
    };
    await secondsOf(); // the first run builds kernels
    let best = await secondsOf();
    for (let spent = best; spent < SECONDS; ) {
      const seconds = await secondsOf();
      spent += seconds;
      best = Math.min(best, seconds);
    }
    array.release();
    await program.release();
    rate = (2 * PRODUCTS * side ** 3) / best / 1e9;
    if (best > 0.05) break;
  }
  return rate;
}
