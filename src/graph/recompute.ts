/** Activation recomputation: less memory for a second forward pass (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"). */
import { controlDependency } from "./build.ts";
import { gradient } from "./gradient.ts";
import { type Graph, nodesOf } from "./graph.ts";
import { applySame } from "./rewrite.ts";
import type { Node, Tensor } from "./tensor.ts";

/** A stretch of the forward pass, such as a block: what it computes from `start` on the way to `end`. */
export interface Segment {
  readonly start: Tensor;
  readonly end: Tensor;
}

/**
 * The same outputs, of which everything that is not needed for `loss` itself (gradients above all) reads the inside of
 * segments from copies. A copy starts at the segment's `start` and is not computed before ∂loss/∂end, so only the
 * starts live from the forward to the backward pass.
 */
export function recompute({ outputs }: Graph, loss: Tensor, segments: readonly Segment[]): Graph {
  const forward = new Set(nodesOf([loss]));
  const inside = new Map<Node, Copies>();
  const gradients = gradient(
    loss,
    segments.map(({ end }) => end),
  );
  const replaced = new Map<Node, readonly Tensor[]>();
  const now = (x: Tensor): Tensor => replaced.get(x.node)?.[x.output] ?? x;
  segments.forEach((segment, i) => {
    const nodes = between(segment);
    const copies = new Copies(segment.start, nodes, () => now(gradients[i]!));
    for (const node of nodes) inside.set(node, copies);
  });
  const ends = new Set(segments.map(({ end }) => end.node));
  const copied = (x: Tensor): Tensor => (ends.has(x.node) ? undefined : inside.get(x.node))?.of(x) ?? now(x);
  // The gradients first, since copies refer to them; they walk back through the segments, the last one first.
  for (const node of new Set([...nodesOf(gradients), ...nodesOf(Object.values(outputs))])) {
    if (forward.has(node) || inside.has(node)) continue;
    const inputs = node.inputs.map(copied);
    if (inputs.some((x, i) => x !== node.inputs[i])) replaced.set(node, applySame(node, inputs).outputs);
  }
  return { outputs: Object.fromEntries(Object.entries(outputs).map(([name, x]) => [name, now(x)])) };
}

/** The nodes that depend on the start and that the end depends on. */
function between({ start, end }: Segment): Set<Node> {
  const found = new Set<Node>();
  for (const node of nodesOf([end])) {
    if (node.inputs.some((x) => x.node === start.node || found.has(x.node))) found.add(node);
  }
  return found;
}

/** A second computation of a segment, made where something asks for it. */
class Copies {
  readonly #copies = new Map<Node, readonly Tensor[]>();
  readonly #inside: ReadonlySet<Node>;
  readonly #start: Tensor;
  readonly #gradient: () => Tensor;
  #late: Tensor | undefined;

  constructor(start: Tensor, inside: ReadonlySet<Node>, gradient: () => Tensor) {
    this.#inside = inside;
    this.#start = start;
    this.#gradient = gradient;
  }

  of(x: Tensor): Tensor {
    if (x.node === this.#start.node && x.output === this.#start.output) {
      this.#late ??= controlDependency(this.#start, this.#gradient());
      return this.#late;
    }
    if (!this.#inside.has(x.node)) return x;
    let copy = this.#copies.get(x.node);
    if (!copy) {
      copy = applySame(
        x.node,
        x.node.inputs.map((input) => this.of(input)),
      ).outputs;
      this.#copies.set(x.node, copy);
    }
    return copy[x.output]!;
  }
}
