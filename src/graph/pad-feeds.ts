/** Feeds for graphs of fixed shapes: arrays filled up to the capacities, row numbers made to fit. */
import { allocate, NDArray, sizeOf } from "../array/ndarray.ts";
import type { Shape } from "./dim.ts";
import { type Capacities, capacitiesOf, fixedSize, hasCapacity, isRouteFixed } from "./fix-capacities.ts";
import { type Graph, leavesOf, nodesOf } from "./graph.ts";
import { isOp, type Node, ShapeError, type Tensor } from "./tensor.ts";

type Arrays = Readonly<Record<string, NDArray>>;

/**
 * From feeds of `graph` to feeds of `fixCapacities(graph)`. Numbers are filled up with zeros, row numbers with that of
 * the row of zeros, and places in [kept; dropped] move to where the dropped rows now begin. All other feeds stay the
 * same arrays.
 * @throws ShapeError if row numbers that must be filled up are not fed, or count the rows of two tables. The returned
 * function throws one for a feed that is larger than its capacity.
 */
export function feedPadder(graph: Graph): (feeds: Arrays) => Record<string, NDArray> {
  const nodes = nodesOf(Object.values(graph.outputs));
  const capacities = capacitiesOf(nodes);
  const zeroRows = zeroRowsOf(nodes, capacities);
  const moves = placeMoves(nodes, capacities);
  const paddings = new Map<string, (x: NDArray, feeds: Arrays) => NDArray>();
  for (const [name, { attributes }] of leavesOf(nodes, "input")) {
    const move = moves.get(name);
    if (!move && !hasCapacity(attributes.shape, capacities)) continue;
    const target = attributes.shape.map((dim) => fixedSize(dim, capacities));
    const filler = move?.end ?? zeroRows.get(name) ?? 0;
    paddings.set(name, (x, feeds) => filledUp(name, move ? moved(x, move, feeds) : x, target, filler));
  }
  return (feeds) =>
    Object.fromEntries(Object.entries(feeds).map(([name, x]) => [name, paddings.get(name)?.(x, feeds) ?? x]));
}

/** The number of the row of zeros, for every fed index that must be filled up. */
function zeroRowsOf(nodes: readonly Node[], capacities: Capacities): Map<string, number> {
  const rows = new Map<string, number>();
  for (const [index, row] of nodes.flatMap((node) => pickedRows(node, capacities))) {
    const name = inputName(index);
    const known = rows.get(name) ?? row;
    if (known !== row)
      throw new ShapeError(`index ${name} counts the rows of two tables, with ${known} and ${row} rows`);
    rows.set(name, row);
  }
  return rows;
}

/** The indices with a capacity that a node picks rows by, and how many rows there are. */
function pickedRows(node: Node, capacities: Capacities): [Tensor, number][] {
  const rowCount = (shape: Shape) => fixedSize(shape[0]!, capacities) as number;
  const [x, index, dropped] = node.inputs as [Tensor, Tensor, Tensor];
  const found: [Tensor, number][] = [];
  if (isOp(node, "gather")) found.push([index, rowCount(x.shape)]);
  if (isOp(node, "scatterAdd")) found.push([x, rowCount([node.attributes.rows])]);
  if (isOp(node, "partitionRows")) found.push([index, rowCount(x.shape)], [dropped, rowCount(x.shape)]);
  return found.filter(([{ shape }]) => hasCapacity(shape, capacities));
}

/** How places in [kept; dropped] change: those of dropped rows begin at `capacity`, and all end at `end`. */
interface Move {
  readonly kept: string;
  readonly capacity: number;
  readonly end: number;
}

function placeMoves(nodes: readonly Node[], capacities: Capacities): Map<string, Move> {
  const moves = new Map<string, Move>();
  for (const node of nodes) {
    if (!isOp(node, "partitionRows") && !isOp(node, "mergeRows")) continue;
    if (!isRouteFixed(node, capacities)) continue;
    const [kept, dropped, inverse] = node.inputs.slice(-3) as [Tensor, Tensor, Tensor];
    const [k, d] = [kept, dropped].map(({ shape }) => fixedSize(shape[0]!, capacities) as number) as [number, number];
    moves.set(inputName(inverse), { kept: inputName(kept), capacity: k, end: k + d });
  }
  return moves;
}

function inputName({ node }: Tensor): string {
  if (isOp(node, "input")) return node.attributes.name;
  throw new ShapeError(`row numbers with a capacity must be an input of the graph, found the result of ${node.op}`);
}

function moved(places: NDArray, { kept, capacity }: Move, feeds: Arrays): NDArray {
  const count = feeds[kept]?.shape[0];
  if (count === undefined) throw new ShapeError(`${kept} was not fed`);
  const data = Int32Array.from(places.data as Int32Array, (place) =>
    place < count ? place : place - count + capacity,
  );
  return new NDArray("int32", places.shape, data);
}

/** `x` in the corner of an array of shape `target` that holds `filler` elsewhere. */
function filledUp(name: string, x: NDArray, target: Shape, filler: number): NDArray {
  if (x.shape.length !== target.length) return x; // the session says what it expects
  const shape = target.map((dim, axis) => (typeof dim === "number" ? dim : x.shape[axis]!));
  const over = shape.findIndex((size, axis) => x.shape[axis]! > size);
  if (over >= 0) {
    throw new ShapeError(
      `${name}: ${x.shape[over]} along axis ${over} exceed the capacity ${shape[over]}; run the graph without capacities`,
    );
  }
  const data = allocate(x.dtype, sizeOf(shape)) as Float32Array;
  if (filler !== 0) data.fill(filler);
  const length = x.shape.at(-1)!;
  for (let start = 0; start < x.size; start += length) {
    data.set(x.data.subarray(start, start + length) as Float32Array, offsetOf(start, x.shape, shape));
  }
  return new NDArray(x.dtype, shape, data);
}

/** Where element number `flat` of a row-major array lies in an array of another shape. */
function offsetOf(flat: number, from: readonly number[], to: readonly number[]): number {
  let [rest, offset, stride] = [flat, 0, 1];
  for (let axis = from.length - 1; axis >= 0; axis--) {
    offset += (rest % from[axis]!) * stride;
    rest = Math.floor(rest / from[axis]!);
    stride *= to[axis]!;
  }
  return offset;
}
