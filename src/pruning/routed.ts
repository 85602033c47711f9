/**
 * Routed execution: each block runs only on the rows that keep it. With hard masks the backward pass of a dropped row
 * through its block is zero, so it is left out; what the gates need of it is one forward pass.
 */
import { gather, input, mergeRows, mul, partitionRows, type Routes, stopGradient, sub, sum } from "../graph/build.ts";
import { symbolicDim } from "../graph/dim.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { RunBlock } from "../nn/run-block.ts";

/** What tracing a routed block leaves behind for the gates' gradient. */
interface Trace {
  readonly routes: Routes;
  readonly probe: Tensor;
  /** The state after the block, all rows. */
  readonly out: Tensor;
  /** f(h) − h of the kept rows and of the probed ones, without gradient. */
  readonly keptDelta: Tensor;
  readonly probeDelta: Tensor;
}

/** Routed blocks of one model, by number. */
export class RoutedBlocks {
  readonly #traces = new Map<number, Trace>();

  /** The middleware; tracing the model with it fills this object. */
  readonly runBlock: RunBlock = (block, h, index, ...conditioning) => {
    const routes: Routes = {
      kept: rowInput("kept", index),
      dropped: rowInput("dropped", index),
      inverse: input(`inverse.${index}`, [h.shape[0]!], "int32"),
    };
    const probe = rowInput("probe", index);
    const [hKept, hDropped] = partitionRows(h, routes);
    const conditions = conditioning.map((c) => partitionRows(c, routes)[0]);
    const outKept = block(hKept, ...conditions);
    const out = mergeRows(outKept, hDropped, routes);
    const hProbe = gather(stopGradient(h), probe);
    const outProbe = block(hProbe, ...conditioning.map((c) => gather(stopGradient(c), probe)));
    this.#traces.set(index, {
      routes,
      probe,
      out,
      keptDelta: stopGradient(sub(outKept, hKept)),
      probeDelta: stopGradient(sub(outProbe, hProbe)),
    });
    return out;
  };

  /** Tensors the gates' gradient needs, in a fixed order: give them to a rewrite, then to `maskGradients`. */
  tensors(): Tensor[] {
    return this.#sorted().flatMap(([, { out, keptDelta, probeDelta }]) => [out, keptDelta, probeDelta]);
  }

  /** The states to differentiate the loss by: every third of `tensors`. */
  static outs(tensors: readonly Tensor[]): Tensor[] {
    return tensors.filter((_, i) => i % 3 === 0);
  }

  /**
   * ∂L/∂mask as rowDot(∂L/∂h_out, f(h) − h), for kept rows (`keptGradient.i`) and probed rows (`probeGradient.i`).
   * `tensors` are those of `tensors()` after rewriting, `gradients` are ∂L/∂out in the same order.
   */
  maskGradients(tensors: readonly Tensor[], gradients: readonly Tensor[]): Record<string, Tensor> {
    const outputs: Record<string, Tensor> = {};
    this.#sorted().forEach(([index, { routes, probe }], i) => {
      const [keptDelta, probeDelta] = [tensors[3 * i + 1]!, tensors[3 * i + 2]!];
      const dOut = gradients[i]!;
      outputs[`keptGradient.${index}`] = rowDot(partitionRows(dOut, routes)[0], keptDelta);
      outputs[`probeGradient.${index}`] = rowDot(gather(dOut, probe), probeDelta);
    });
    return outputs;
  }

  #sorted(): [number, Trace][] {
    return [...this.#traces].sort(([a], [b]) => a - b);
  }
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
