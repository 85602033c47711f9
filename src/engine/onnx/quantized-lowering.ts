/** Products of 8-bit whole numbers: x in uint8 about 128 and W in int8, since the CPU's integer units take one of each. */
import { float32, NDArray as Values } from "../../array/ndarray.ts";
import { QUANTIZED_MAX, SMALLEST_RANGE } from "../../graph/op.ts";
import type { Emitter } from "./emitter.ts";
import type { Lowering } from "./lowering.ts";

const number = (e: Emitter, value: number): string => e.constant(float32([value], []));
const zeroOf = (e: Emitter, dtype: "uint8" | "int8"): string =>
  e.constant(dtype === "uint8" ? new Values(dtype, [], Uint8Array.of(128)) : new Values(dtype, [], Int8Array.of(0)));

/** Rows of x along the last axis in whole numbers, and their ranges [..., 1]. */
function quantized(e: Emitter, x: string, rank: number, dtype: "uint8" | "int8"): { q: string; range: string } {
  const axis = e.int64([rank - 1]); // −1 gives a wrong shape where there are no rows
  // Two reductions in place of |x|, which would write all of x once more.
  const [most, least] = ["ReduceMax", "ReduceMin"].map((opType) => e.node(opType, [x, axis], { keepdims: 1 }));
  const range = e.node("Max", [most!, e.node("Neg", [least!]), number(e, SMALLEST_RANGE)]);
  const q = e.node("QuantizeLinear", [e.node("Div", [x, range]), number(e, 1 / QUANTIZED_MAX), zeroOf(e, dtype)]);
  return { q, range };
}

/** The rules of the operations on 8-bit numbers. */
export const quantizedLowering: Pick<Lowering["rules"], "quantizeRows" | "quantizeWeight" | "quantizedLinear"> = {
  quantizeRows(e, [x], _, node) {
    const { q, range } = quantized(e, x!, node.inputs[0]!.shape.length, "uint8");
    return [q, range];
  },
  quantizeWeight(e, [w]) {
    const { q, range } = quantized(e, w!, 2, "int8");
    return [e.node("Transpose", [q], { perm: [1, 0] }), e.node("Squeeze", [range, e.int64([1])])];
  },
  quantizedLinear(e, [q, rowRange, weight, channelRange], { scale }) {
    const operands = [q!, weight!, number(e, scale / QUANTIZED_MAX ** 2), channelRange!, zeroOf(e, "uint8")];
    return e.node("Mul", [e.contrib("MatMulIntegerToFloat", operands), rowRange!]);
  },
};
