/**
 * Elementwise programs on the CPU, as an optimizer's update of all weights is one: arrays change in place, in pieces that
 * stay in a core's cache between the operations, on one thread (a second one would cost more than it gives). Many small
 * arrays that are computed alike are one piece.
 */
import type * as ort from "onnxruntime-node";
import { float32, type NDArray } from "../../array/ndarray.ts";
import { input } from "../../graph/build.ts";
import { symbolicDim } from "../../graph/dim.ts";
import { type Graph, nodesOf } from "../../graph/graph.ts";
import type { Op } from "../../graph/op.ts";
import { rewrite } from "../../graph/rewrite.ts";
import { isOp, type Node, type Tensor } from "../../graph/tensor.ts";
import type { DeviceArray, Inputs, Program } from "../engine.ts";
import { CpuArray, hostValue, type OwnMemory } from "./cpu-array.ts";
import { cpuLowering } from "./cpu-lowering.ts";
import type { OnnxValue } from "./model.ts";
import { checkedInput, openSession, refuseDonatedTwice, sessionOptions, toOrt } from "./session.ts";

/** Elements of a piece. */
const PIECE = 1 << 15;

const elementwise: ReadonlySet<Op> = new Set<Op>([
  "neg",
  "exp",
  "sqrt",
  "abs",
  "tanh",
  "sigmoid",
  "relu",
  "add",
  "sub",
  "mul",
  "div",
  "maximum",
  "minimum",
] as const);

const isScalar = ({ shape }: Tensor): boolean => shape.length === 0;

/** Whether each output is a donated input's new value, element by element, and nothing reads the old one afterwards. */
export function isElementwise({ outputs }: Graph, donate: readonly string[]): boolean {
  const names = Object.keys(outputs);
  if (names.length === 0 || !names.every((name) => donate.includes(name))) return false;
  const nodes = nodesOf(Object.values(outputs));
  const isSimple = nodes.every(({ op, outputs: [x] }) => {
    if (x!.dtype !== "float32" || !x!.shape.every((dim) => typeof dim === "number")) return false;
    return op === "input" || ((op === "fill" || op === "constant") && isScalar(x!)) || elementwise.has(op);
  });
  return isSimple && componentsOf(outputs).every((component) => isInPlace(component, outputs));
}

/** Outputs that share arrays. */
interface Component {
  /** The arrays they are computed from, in order. */
  readonly leaves: readonly Node<"input">[];
  readonly outputs: readonly string[];
}

function componentsOf(outputs: Graph["outputs"]): Component[] {
  const found: { leaves: Set<Node<"input">>; outputs: string[] }[] = [];
  const owner = new Map<Node, (typeof found)[number]>();
  for (const [name, x] of Object.entries(outputs)) {
    const leaves = nodesOf([x]).filter((node) => isOp(node, "input") && !isScalar(node.outputs[0]!)) as Node<"input">[];
    const merged = { leaves: new Set(leaves), outputs: [name] };
    for (const other of new Set(leaves.flatMap((leaf) => owner.get(leaf as Node) ?? []))) {
      for (const leaf of other.leaves) merged.leaves.add(leaf);
      merged.outputs.unshift(...other.outputs);
      found.splice(found.indexOf(other), 1);
    }
    for (const leaf of merged.leaves) owner.set(leaf as Node, merged);
    found.push(merged);
  }
  return found.map((one) => ({ leaves: [...one.leaves].sort((a, b) => a.id - b.id), outputs: one.outputs }));
}

/** All arrays of one shape; and every reader of an array that an output replaces comes before that output. */
function isInPlace({ leaves, outputs: names }: Component, outputs: Graph["outputs"]): boolean {
  const nodes = nodesOf(names.map((name) => outputs[name]!));
  const shape = String(leaves[0]?.attributes.shape);
  const alike = nodes.every(({ outputs: [x] }) => isScalar(x!) || String(x!.shape) === shape);
  return (
    alike &&
    names.every((name) => {
      const leaf = leaves.find(({ attributes }) => attributes.name === name);
      const before = new Set(nodesOf([outputs[name]!]));
      return leaf && nodes.every((node) => before.has(node) || node.inputs.every((x) => x.node !== (leaf as Node)));
    })
  );
}

/** Components that are computed alike, and the session that computes them over a vector. */
interface Kind {
  readonly session: ort.InferenceSession;
  readonly scalars: readonly OnnxValue[];
  readonly components: Component[];
  /** For each leaf, whether an output replaces it. */
  readonly isReplaced: readonly boolean[];
}

/** Compiles a graph for which {@link isElementwise} holds. */
export async function compileElementwise({ outputs }: Graph): Promise<Program> {
  const kinds = new Map<string, Kind>();
  for (const component of componentsOf(outputs)) {
    const key = formOf(component, outputs);
    const known = kinds.get(key);
    if (known) known.components.push(component);
    else kinds.set(key, await compileKind(component, outputs));
  }
  return {
    run: (inputs) => runKinds([...kinds.values()], inputs),
    async release() {
      for (const { session } of kinds.values()) await session.release();
    },
  };
}

/** The computation as text, in which arrays have numbers instead of names and shapes. */
function formOf({ leaves, outputs: names }: Component, outputs: Graph["outputs"]): string {
  const nodes = nodesOf(names.map((name) => outputs[name]!));
  const numbers = new Map(nodes.map((node, i) => [node, i]));
  const lines = nodes.map((node) => {
    const leaf = leaves.indexOf(node as Node<"input">);
    if (leaf >= 0) return `array ${leaf}`;
    const value = isOp(node, "constant") ? String(node.attributes.value.data) : JSON.stringify(node.attributes);
    return `${node.op} ${value} ${node.inputs.map((x) => numbers.get(x.node))}`;
  });
  const ends = names.map((name) => {
    const replaced = leaves.findIndex(({ attributes }) => attributes.name === name);
    return `${replaced} = ${numbers.get(outputs[name]!.node)}`;
  });
  return [...lines, ...ends].join("\n");
}

const oldName = (leaf: number): string => `old ${leaf}`;
const newName = (leaf: number): string => `new ${leaf}`;

async function compileKind(component: Component, outputs: Graph["outputs"]): Promise<Kind> {
  const { leaves, outputs: names } = component;
  const n = symbolicDim("n");
  const flat = rewrite(
    names.map((name) => outputs[name]!),
    (node) => {
      const leaf = leaves.indexOf(node as Node<"input">);
      return leaf < 0 ? undefined : [input(oldName(leaf), [n])];
    },
  );
  const replaced = names.map((name) => leaves.findIndex(({ attributes }) => attributes.name === name));
  const graph = { outputs: Object.fromEntries(flat.map((x, i) => [newName(replaced[i]!), x])) };
  const { session, inputs } = await openSession(graph, cpuLowering, sessionOptions(["cpu"], 1));
  return {
    session,
    scalars: inputs.filter(({ shape }) => shape.length === 0),
    components: [component],
    isReplaced: leaves.map((_, i) => replaced.includes(i)),
  };
}

async function runKinds(kinds: readonly Kind[], inputs: Inputs): Promise<Record<string, DeviceArray>> {
  refuseDonatedTwice(
    kinds.flatMap(({ components }) => components.flatMap(({ outputs }) => outputs)),
    inputs,
  );
  const results: Record<string, DeviceArray> = {};
  for (const kind of kinds) {
    const scalars = Object.fromEntries(
      kind.scalars.map((expected) => [
        expected.name,
        toOrt(hostValue(checkedInput(expected, inputs[expected.name], new Map()))),
      ]),
    );
    const arrays = kind.components.map(({ leaves }) =>
      leaves.map(({ attributes }) => checkedInput(attributes, inputs[attributes.name], new Map())),
    );
    arrays.flat().forEach(hostValue); // those that are gone are refused before any is changed
    const vectors = arrays.map((list, c) =>
      list.map((array, i) => {
        if (!kind.isReplaced[i]) return hostValue(array);
        const { value, giveBack } = ownMemory(array);
        results[kind.components[c]!.leaves[i]!.attributes.name] = new CpuArray(value, giveBack, true);
        return value;
      }),
    );
    await runPieces(
      kind,
      scalars,
      vectors.map((list) => list.map(({ data }) => data as Float32Array)),
    );
  }
  return results;
}

/** The memory of a donated array; a copy if others hold it. */
function ownMemory(array: NDArray | DeviceArray): OwnMemory {
  const value = hostValue(array);
  const own = array instanceof CpuArray ? array.take() : undefined;
  return own ?? { value: float32((value.data as Float32Array).slice(), value.shape), giveBack: () => {} };
}

/** Changes the replaced vectors of each component in place. */
async function runPieces(
  { session, isReplaced }: Kind,
  scalars: Readonly<Record<string, ort.Tensor>>,
  components: readonly (readonly Float32Array[])[],
): Promise<void> {
  const run = async (pieces: readonly Float32Array[]) => {
    const tensors = pieces.map((piece) => toOrt(float32(piece)));
    const fed = Object.fromEntries(tensors.map((tensor, i) => [oldName(i), tensor]));
    const targets = tensors.flatMap((tensor, i) => (isReplaced[i] ? [[newName(i), tensor] as const] : []));
    await session.run({ ...scalars, ...fed }, Object.fromEntries(targets));
  };
  const staged = isReplaced.map(() => new Float32Array(PIECE));
  let waiting: { readonly vectors: readonly Float32Array[]; readonly at: number }[] = [];
  let used = 0;
  const flush = async () => {
    if (used > 0) await run(staged.map((piece) => piece.subarray(0, used)));
    for (const { vectors, at } of waiting) {
      vectors.forEach((vector, i) => {
        if (isReplaced[i]) vector.set(staged[i]!.subarray(at, at + vector.length));
      });
    }
    [waiting, used] = [[], 0];
  };
  for (const vectors of components) {
    const { length } = vectors[0]!;
    let start = 0;
    for (; start + PIECE <= length; start += PIECE) await run(vectors.map((x) => x.subarray(start, start + PIECE)));
    if (used + length - start > PIECE) await flush();
    const rest = vectors.map((x) => x.subarray(start));
    rest.forEach((x, i) => {
      staged[i]!.set(x, used);
    });
    waiting.push({ vectors: rest, at: used });
    used += length - start;
  }
  await flush();
}
