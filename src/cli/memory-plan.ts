/** How much memory a training run will need, from its graph alone. */
import { sizeOf } from "../array/ndarray.ts";
import type { Constants } from "../engine/engine.ts";
import type { GraphCost } from "../graph/graph-cost.ts";
import { bytesText } from "./table.ts";

/** Measured on runs of DiT-S to DiT-XL; LOG.md says how well it holds for others. */
const PROGRAM_BYTES = 200e6;
const NODE_BYTES = 12e3;
/** The engine's pool has gaps, and more of them where the sizes of all tensors differ from step to step. */
const POOL_FACTOR = { steady: 1.1, changing: 1.45 } as const;

export interface MemoryRequest {
  readonly cost: GraphCost;
  /** Numbers that are trained. */
  readonly trained: number;
  /** Micro-batches of a step. */
  readonly pieces: number;
  readonly constants: Constants | undefined;
  /** Whether steps draw the number of tokens anew, as a MAR's do. */
  readonly sizes: keyof typeof POOL_FACTOR;
}

/** Bytes by what they are for. */
export function memoryPlan({
  cost,
  trained,
  pieces,
  constants,
  sizes,
}: MemoryRequest): Readonly<Record<string, number>> {
  const mapped = [...(constants?.values() ?? [])].flatMap((x) => ("external" in x ? [x] : []));
  const stays = mapped.reduce((total, { shape }) => total + sizeOf(shape), 0);
  const held = Math.max(0, cost.parameters - trained - stays);
  return {
    "weights mapped from files": mapped.reduce((total, { external }) => total + external.length, 0),
    "weights in memory": 4 * (held + trained),
    // Those of the last micro-batch, the engine's copy that they came from, and their sum.
    gradients: 4 * trained * (pieces > 1 ? 3 : 2),
    moments: 8 * trained,
    EMA: 4 * trained,
    "tensors of a micro-batch": POOL_FACTOR[sizes] * cost.peakBytes,
    "program and data": PROGRAM_BYTES + NODE_BYTES * cost.nodes,
  };
}

export const totalOf = (plan: Readonly<Record<string, number>>): number =>
  Object.values(plan).reduce((sum, bytes) => sum + bytes, 0);

/** `about 4.9 GB: weights mapped from files 2.7 GB, …`; what is mapped can be given back when others need it. */
export function memoryText(plan: Readonly<Record<string, number>>): string {
  const parts = Object.entries(plan).filter(([, bytes]) => bytes > 0);
  return `about ${bytesText(totalOf(plan))}: ${parts.map(([name, bytes]) => `${name} ${bytesText(bytes)}`).join(", ")}`;
}
