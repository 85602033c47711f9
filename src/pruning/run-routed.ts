/**
 * Routed execution of hard masks: each block runs only on the rows that keep it. The backward pass of a dropped row
 * through its block is zero, so it is left out; the gates need one forward pass of it ("probe"), and that of few rows.
 */
import { gather, input, mergeRows, mul, partitionRows, type Routes, stopGradient, sub, sum } from "../graph/build.ts";
import { symbolicDim } from "../graph/dim.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { RunBlock } from "../nn/run-block.ts";

/** Tensors of a routed block that the gradient of its mask needs. */
export interface RoutedBlock {
  readonly index: number;
  readonly routes: Routes;
  readonly probe: Tensor;
  /** The state after the block, all rows. */
  readonly out: Tensor;
  /** f(h) − h of the kept rows and of the probed ones, without gradient. */
  readonly keptDelta: Tensor;
  readonly probeDelta: Tensor;
}

/**
 * The masked block h' = m · f(h) + (1 − m) · h (TinyFusion, section 3.1) for masks that are 0 or 1: f on the kept rows,
 * the other rows pass. Its inputs are row numbers, as `planRoutes` feeds them. Each traced block is added to `traces`.
 */
export function runRouted(traces: RoutedBlock[]): RunBlock {
  return (block, h, index, ...conditioning) => {
    const routes: Routes = {
      kept: rowInput("kept", index),
      dropped: rowInput("dropped", index),
      inverse: input(`inverse.${index}`, [h.shape[0]!], "int32"),
    };
    const probe = rowInput("probe", index);
    const [hKept, hDropped] = partitionRows(h, routes); // [kept, T, D], [dropped, T, D]
    const outKept = block(hKept, ...conditioning.map((c) => partitionRows(c, routes)[0]));
    const out = mergeRows(outKept, hDropped, routes); // [N, T, D]
    const hProbe = gather(stopGradient(h), probe); // [probed, T, D]
    const outProbe = block(hProbe, ...conditioning.map((c) => gather(stopGradient(c), probe)));
    const keptDelta = stopGradient(sub(outKept, hKept));
    const probeDelta = stopGradient(sub(outProbe, hProbe));
    traces.push({ index, routes, probe, out, keptDelta, probeDelta });
    return out;
  };
}

/**
 * ∂L/∂m = Σ ∂L/∂h' · (f(h) − h) for each row: of kept rows as output `keptGradient.i`, of probed rows as
 * `probeGradient.i`. `outGradients` are ∂L/∂out of the traces, in order.
 */
export function maskGradients(traces: readonly RoutedBlock[], outGradients: readonly Tensor[]): Record<string, Tensor> {
  const outputs: Record<string, Tensor> = {};
  traces.forEach(({ index, routes, probe, keptDelta, probeDelta }, i) => {
    const dOut = outGradients[i]!;
    outputs[`keptGradient.${index}`] = rowDot(partitionRows(dOut, routes)[0], keptDelta);
    outputs[`probeGradient.${index}`] = rowDot(gather(dOut, probe), probeDelta);
  });
  return outputs;
}

const rowInput = (kind: string, index: number): Tensor =>
  input(`${kind}.${index}`, [symbolicDim(`${kind}.${index}`)], "int32");

/** Σ a · b over all axes but the first. */
function rowDot(a: Tensor, b: Tensor): Tensor {
  return sum(
    mul(a, b),
    a.shape.map((_, axis) => axis).filter((axis) => axis > 0),
  );
}
