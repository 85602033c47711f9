/**
 * Operators whose CPU kernels take four elements at a time, and what is left over by another routine with other bits.
 * Sine, cosine and logarithm of a vector [N] would then depend on N: image 4 of 5 would be another than image 4 of 8.
 */
import type { Op } from "../../graph/op.ts";
import type { LoweringRule } from "./lowering.ts";

const FOUR = 4;

/** The operator on four copies of each element, unless the elements are sure to come in fours: then on them as they are. */
export const fourAtATime =
  <K extends Op>(opType: string): LoweringRule<K> =>
  (e, operands, _, node) => {
    const { shape } = node.inputs[0]!;
    const known = shape.reduce<number>((product, dim) => (typeof dim === "number" ? product * dim : product), 1);
    if (known % FOUR === 0) return e.node(opType, operands);
    const copies = e.node("Expand", [e.reshape(operands[0]!, [...shape, 1]), e.int64([FOUR])]); // [..., 4]
    const first = e.node("Slice", [e.node(opType, [copies]), e.int64([0]), e.int64([1]), e.int64([-1])]);
    return e.reshape(first, shape);
  };
