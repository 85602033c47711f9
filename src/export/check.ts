/** Whether an exported file computes what our own session does. */
import { join } from "node:path";
import { InputError } from "../array/input-error.ts";
import type { NDArray } from "../array/ndarray.ts";
import { type Engine, type NamedArrays, runAndRead, type Weight } from "../engine/engine.ts";
import { runFile } from "../engine/onnx/session.ts";
import { DivergedError, unusableIndex, valueText } from "../sampling/usable-images.ts";
import type { Part } from "./part.ts";
import type { ExportDtype } from "./stored-weights.ts";
import { weightsOf } from "./write-part.ts";

/**
 * How far a file may be from our session, relative to the largest number of an output. Both compute in float32; weights
 * rounded to float16 are each wrong by up to 5e-4, which adds up over the blocks. In int8 the last bit of a float32 decides
 * what some activations are rounded to, and after a few blocks two programs differ by as much as either does from float32;
 * with the same operators they agree to the bit.
 */
export const largestDifference: { readonly [K in ExportDtype | "int8"]: number } = {
  float32: 1e-4,
  float16: 1e-2,
  int8: 5e-2,
};

/** Not one, which takes other kernels than many, nor a number that anything else in a model is. */
const ROWS = 3;

/**
 * Runs the file and a session of `engine` on the same small input. Gives the largest difference of an output.
 * @throws InputError if it is beyond what `dtype` explains.
 */
export async function checkPart(
  folder: string,
  part: Part,
  weights: ReadonlyMap<string, Weight>,
  { engine, dtype }: { readonly engine: Engine; readonly dtype: ExportDtype | "int8" },
): Promise<number> {
  const feeds = part.example(ROWS);
  const expected = await ours(part, weightsOf(part.graph, weights), engine, feeds);
  requireUsableOutputs(part.name, expected);
  const found = await runFile(join(folder, `${part.name}.onnx`), feeds);
  const differences = Object.entries(expected).map(([name, values]) => relativeDifference(found[name]!, values));
  const largest = Math.max(...differences);
  const bound = largestDifference[dtype];
  if (largest <= bound) return largest;
  throw new InputError(
    `${part.name}.onnx: expected outputs within ${bound} of our own session's (${dtype}), found a difference of ` +
      `${largest.toPrecision(3)}; nothing was exported`,
  );
}

/** Two equal outputs of 1e30 would agree. @throws InputError for an output that no image comes from. */
function requireUsableOutputs(part: string, outputs: Readonly<Record<string, NDArray>>): void {
  for (const [name, { data }] of Object.entries(outputs)) {
    const values = data as ArrayLike<number>;
    const at = unusableIndex(values);
    if (at < 0) continue;
    throw new DivergedError(
      `${part}: its output ${name} has the value ${valueText(values[at]!)} for standard normal input, expected finite ` +
        'numbers below 1e6; nothing was exported, check the weights with "tinyfusion inspect --check"',
    );
  }
}

/** The outputs of our session, which is gone before the other one opens: large weights are in memory once. */
async function ours(
  { graph }: Part,
  weights: ReadonlyMap<string, Weight>,
  engine: Engine,
  feeds: NamedArrays,
): Promise<Record<string, NDArray>> {
  const program = await engine.compile(graph, { constants: weights });
  try {
    return await runAndRead(program, feeds);
  } finally {
    await program.release();
  }
}

/** Largest |found − expected| over the largest |expected|; not a number where anything is not. */
export function relativeDifference(found: NDArray, expected: NDArray): number {
  if (String(found.shape) !== String(expected.shape)) return Number.POSITIVE_INFINITY;
  let [difference, size] = [0, 0];
  for (let i = 0; i < expected.size; i++) {
    const [a, b] = [found.data[i] as number, expected.data[i] as number];
    if (!Number.isFinite(a) || !Number.isFinite(b)) return Number.NaN;
    difference = Math.max(difference, Math.abs(a - b));
    size = Math.max(size, Math.abs(b));
  }
  return difference === 0 ? 0 : difference / size;
}
