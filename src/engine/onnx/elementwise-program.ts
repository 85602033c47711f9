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

/** Elements of a piece; a single operation, which reads nothing twice, runs over everything at once. */
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
  /** Elements of a run. */
  readonly piece: number;
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
    piece: nodesOf(flat).filter(({ inputs }) => inputs.length > 0).length > 1 ? PIECE : Number.POSITIVE_INFINITY,
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
    const vectors = kind.isReplaced.map((isReplaced, leaf) => {
      const column = arrays.map((list) => list[leaf]!);
      if (!isReplaced) return column.map((array) => hostValue(array).data as Float32Array);
      return ownMemory(column).map(({ value, giveBack }, c) => {
        results[kind.components[c]!.leaves[leaf]!.attributes.name] = new CpuArray(value, giveBack, true);
        return value.data as Float32Array;
      });
    });
    await runPieces(kind, scalars, vectors);
  }
  return results;
}

/** Copies lie in memory that is nobody's pool. */
const keep = (): void => {};

/** The memory of donated arrays. Those that others hold too are copied, one behind the other, so that they make long vectors. */
function ownMemory(arrays: readonly (NDArray | DeviceArray)[]): OwnMemory[] {
  const values = arrays.map(hostValue);
  const own = arrays.map((array) => (array instanceof CpuArray ? array.take() : undefined));
  const copied = new Float32Array(values.reduce((sum, { size }, c) => sum + (own[c] ? 0 : size), 0));
  let at = 0;
  return values.map(({ data, shape, size }, c) => {
    if (own[c]) return own[c];
    const copy = copied.subarray(at, at + size);
    copy.set(data as Float32Array);
    at += size;
    return { value: float32(copy, shape), giveBack: keep };
  });
}

/** Vectors by leaf and component; components that lie one behind the other in all leaves are one. */
function joined(leaves: readonly (readonly Float32Array[])[]): Float32Array[][] {
  const found: Float32Array[][] = [];
  leaves[0]!.forEach((_, c) => {
    const vectors = leaves.map((column) => column[c]!);
    const last = found.at(-1);
    const isNext = last?.every((x, i) => {
      const y = vectors[i]!;
      return x.buffer === y.buffer && x.byteOffset + x.byteLength === y.byteOffset;
    });
    if (!last || !isNext) found.push(vectors);
    else
      last.forEach((x, i) => {
        last[i] = new Float32Array(x.buffer as ArrayBuffer, x.byteOffset, x.length + vectors[i]!.length);
      });
  });
  return found;
}

const wrappers = new WeakMap<ArrayBufferLike, Map<string, ort.Tensor>>();

/** Pieces as the runtime takes them, one wrapper for each part of a buffer: those of a state come again at each step. */
function wrapped(piece: Float32Array): ort.Tensor {
  const known = wrappers.get(piece.buffer) ?? new Map<string, ort.Tensor>();
  wrappers.set(piece.buffer, known);
  const key = `${piece.byteOffset} ${piece.length}`;
  const tensor = known.get(key) ?? toOrt(float32(piece));
  known.set(key, tensor);
  return tensor;
}

/** Changes the replaced vectors in place; `leaves` holds those of each leaf by component. */
async function runPieces(
  { session, isReplaced, piece: size }: Kind,
  scalars: Readonly<Record<string, ort.Tensor>>,
  leaves: readonly (readonly Float32Array[])[],
): Promise<void> {
  const run = async (pieces: readonly Float32Array[]) => {
    const tensors = pieces.map(wrapped);
    const fed = Object.fromEntries(tensors.map((tensor, i) => [oldName(i), tensor]));
    const targets = tensors.flatMap((tensor, i) => (isReplaced[i] ? [[newName(i), tensor] as const] : []));
    await session.run({ ...scalars, ...fed }, Object.fromEntries(targets));
  };
  /** Parts of vectors that are shorter than a piece, and their length together. */
  let waiting: (readonly Float32Array[])[] = [];
  let used = 0;
  const flush = async () => {
    if (waiting.length === 1) await run(waiting[0]!);
    else if (waiting.length > 1) await runTogether(waiting, isReplaced, run);
    [waiting, used] = [[], 0];
  };
  for (const vectors of joined(leaves)) {
    const { length } = vectors[0]!;
    let start = 0;
    for (; start + size <= length; start += size) await run(vectors.map((x) => x.subarray(start, start + size)));
    if (start === length) continue;
    if (used + length - start > size) await flush();
    waiting.push(vectors.map((x) => x.subarray(start)));
    used += length - start;
  }
  await flush();
}

/** Runs short vectors as one: copied to and fro, since a run costs more than the copies. */
async function runTogether(
  parts: readonly (readonly Float32Array[])[],
  isReplaced: readonly boolean[],
  run: (pieces: readonly Float32Array[]) => Promise<void>,
): Promise<void> {
  const length = parts.reduce((sum, [x]) => sum + x!.length, 0);
  const pieces = isReplaced.map(() => new Float32Array(length));
  const each = (use: (own: Float32Array, place: Float32Array, leaf: number) => void) => {
    let at = 0;
    for (const part of parts) {
      part.forEach((own, leaf) => {
        use(own, pieces[leaf]!.subarray(at, at + own.length), leaf);
      });
      at += part[0]!.length;
    }
  };
  each((own, place) => place.set(own));
  await run(pieces);
  each((own, place, leaf) => {
    if (isReplaced[leaf]) own.set(place);
  });
}
