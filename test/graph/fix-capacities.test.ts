/** Fixed shapes compute what dynamic ones do: values, gradients and the rows that only fill up. */

import { describe, expect, it } from "vitest";
import { float32, int32, type NDArray } from "../../src/array/ndarray.ts";
import { normals } from "../../src/array/random.ts";
import { runAndRead } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import * as g from "../../src/graph/build.ts";
import { type Dim, symbolicDim } from "../../src/graph/dim.ts";
import { fixCapacities } from "../../src/graph/fix-capacities.ts";
import { gradient } from "../../src/graph/gradient.ts";
import { type Graph, nodesOf } from "../../src/graph/graph.ts";
import { feedPadder } from "../../src/graph/pad-feeds.ts";
import { printGraph } from "../../src/graph/print.ts";
import { ShapeError, type Tensor } from "../../src/graph/tensor.ts";
import { evaluate, toValue, type Value } from "../reference/evaluate.ts";

const [D, H] = [4, 6];
type Feeds = Record<string, NDArray>;

/** Rows that a block keeps of a batch, and which of the others are probed. */
interface Route {
  readonly kept: readonly number[];
  readonly probe: readonly number[];
}
/** Room for kept, dropped and probed rows. */
type Room = readonly [kept: number, dropped: number, probe: number];

const weights = {
  norm: g.parameter("norm", [D]),
  w1: g.parameter("w1", [H, D]),
  b1: g.parameter("b1", [H]),
  w2: g.parameter("w2", [D, H]),
};

function block(h: Tensor, c: Tensor): Tensor {
  const hidden = g.geluTanh(g.linear(g.add(g.mul(g.layerNorm(h, 1e-6), weights.norm), c), weights.w1, weights.b1));
  return g.add(h, g.linear(hidden, weights.w2));
}

/** Two routed blocks on x [N, D] with conditions c [N, D], the loss Σ weight · out², and what the gates need. */
function routed(
  rows: Dim,
  rooms: readonly Room[],
): { loss: Tensor; wrt: Record<string, Tensor>; outputs: Graph["outputs"] } {
  const [x, c, weight] = [g.input("x", [rows, D]), g.input("c", [rows, D]), g.input("weight", [rows])];
  const routed: { out: Tensor; routes: g.Routes; probe: Tensor; deltas: [Tensor, Tensor] }[] = [];
  let h = x;
  rooms.forEach((room, i) => {
    const index = (kind: string, capacity: number) =>
      g.input(`${kind}.${i}`, [symbolicDim(`${kind}.${i}`, capacity)], "int32");
    const inverse = g.input(`inverse.${i}`, [rows], "int32");
    const routes = { kept: index("kept", room[0]), dropped: index("dropped", room[1]), inverse };
    const probe = index("probe", room[2]);
    const [hKept, hDropped] = g.partitionRows(h, routes);
    const kept = block(hKept, g.partitionRows(c, routes)[0]);
    const hProbe = g.gather(g.stopGradient(h), probe);
    const probed = block(hProbe, g.gather(g.stopGradient(c), probe));
    h = g.mergeRows(kept, hDropped, routes);
    routed.push({
      out: h,
      routes,
      probe,
      deltas: [g.stopGradient(g.sub(kept, hKept)), g.stopGradient(g.sub(probed, hProbe))],
    });
  });
  const loss = g.sum(g.mul(g.sum(g.mul(h, h), [1]), weight));
  const wrt: Record<string, Tensor> = { ...weights, x, c };
  const gradients = gradient(loss, [...Object.values(wrt), ...routed.map(({ out }) => out)]);
  const outputs: Record<string, Tensor> = { loss, out: h };
  Object.keys(wrt).forEach((name, i) => {
    outputs[`d ${name}`] = gradients[i]!;
  });
  routed.forEach(({ routes, probe, deltas }, i) => {
    const dOut = gradients.at(i - routed.length)!;
    outputs[`keptGradient.${i}`] = g.sum(g.mul(g.partitionRows(dOut, routes)[0], deltas[0]), [1]);
    outputs[`probeGradient.${i}`] = g.sum(g.mul(g.gather(dOut, probe), deltas[1]), [1]);
  });
  return { loss, wrt, outputs };
}

const random = (name: string, ...shape: number[]) =>
  float32(
    normals(
      { seed: 9, purpose: name, step: 0, index: 0 },
      shape.reduce((a, b) => a * b, 1),
    ),
    shape,
  );

function feedsOf(rows: number, routes: readonly Route[]): Feeds {
  const feeds: Feeds = { norm: random("norm", D), w1: random("w1", H, D), b1: random("b1", H), w2: random("w2", D, H) };
  Object.assign(feeds, { x: random("x", rows, D), c: random("c", rows, D), weight: random("weight", rows) });
  routes.forEach(({ kept, probe }, i) => {
    const dropped = Array.from({ length: rows }, (_, n) => n).filter((n) => !kept.includes(n));
    const order = [...kept, ...dropped];
    feeds[`kept.${i}`] = int32([...kept]);
    feeds[`dropped.${i}`] = int32(dropped);
    feeds[`inverse.${i}`] = int32(order.map((_, n) => order.indexOf(n)));
    feeds[`probe.${i}`] = int32([...probe]);
  });
  return feeds;
}

const values = (feeds: Feeds): Record<string, Value> =>
  Object.fromEntries(Object.entries(feeds).map(([name, x]) => [name, toValue(x)]));

/** `found` may have more rows than `expected`; returns what they hold. */
function expectSame(found: ArrayLike<number>, expected: ArrayLike<number>, name: string, tolerance: number): number[] {
  const largest = Math.max(1, ...Array.from(expected, Math.abs));
  for (let i = 0; i < expected.length; i++) {
    expect(Math.abs(found[i]! - expected[i]!), `${name}[${i}]: ${found[i]}, expected ${expected[i]}`).toBeLessThan(
      tolerance * largest,
    );
  }
  return Array.from(found).slice(expected.length);
}

const N = 5;
const [some, all, nobody]: Route[] = [
  { kept: [1, 3], probe: [4, 0] },
  { kept: [4, 2, 0, 1, 3], probe: [] },
  { kept: [], probe: [0, 1, 2, 3, 4] },
] as const;
const roomOf = ({ kept, probe }: Route): Room => [kept.length, N - kept.length, probe.length];
const cases: Readonly<Record<string, { routes: Route[]; rooms: Room[] }>> = {
  "some rows kept, no room to spare": { routes: [some!, some!], rooms: [roomOf(some!), roomOf(some!)] },
  "some rows kept, room for all": {
    routes: [some!, { kept: [0], probe: [3] }],
    rooms: [
      [5, 5, 5],
      [5, 5, 5],
    ],
  },
  "all rows kept, then none, no room to spare": { routes: [all!, nobody!], rooms: [roomOf(all!), roomOf(nobody!)] },
  "no row kept, then all, room for all": {
    routes: [nobody!, all!],
    rooms: [
      [5, 5, 5],
      [6, 7, 8],
    ],
  },
};

describe.each(Object.keys(cases))("routed blocks, %s", (title) => {
  const { routes, rooms } = cases[title]!;
  const { loss, wrt, outputs } = routed(N, rooms);
  const [feeds, graph] = [feedsOf(N, routes), fixCapacities({ outputs })];
  const padded = feedPadder({ outputs })(feeds);
  const expected = evaluate({ outputs }, values(feeds));

  it("have no symbol left, and the same values, gradients and mask gradients", () => {
    const dims = nodesOf(Object.values(graph.outputs)).flatMap((node) => node.outputs.flatMap(({ shape }) => shape));
    expect(dims.filter((dim) => typeof dim !== "number")).toEqual([]);
    const found = evaluate(graph, values(padded));
    for (const [name, { data }] of Object.entries(expected)) {
      const rest = expectSame(found[name]!.data, data, name, 1e-12);
      expect(
        rest.filter((x) => x !== 0),
        `${name} beyond its rows`,
      ).toEqual([]);
    }
  });

  it("have the same gradients when they are fixed first and differentiated then", () => {
    const fixed = fixCapacities({ outputs: { loss, x: wrt.x!, c: wrt.c! } }).outputs;
    const names = Object.keys(wrt);
    const gradients = gradient(
      fixed.loss!,
      names.map((name) => fixed[name] ?? wrt[name]!),
    );
    const found = evaluate(
      { outputs: Object.fromEntries(names.map((name, i) => [name, gradients[i]!])) },
      values(padded),
    );
    for (const name of names) expectSame(found[name]!.data, expected[`d ${name}`]!.data, name, 1e-12);
  });

  it("agree on the engine too, whose dynamic form is the same", async () => {
    const engine = cpuEngine({ threads: 1 });
    const [dynamic, fixed] = [await engine.compile({ outputs }), await engine.compile(graph)];
    const [a, b] = [await runAndRead(dynamic, feeds), await runAndRead(fixed, padded)];
    for (const [name, { data }] of Object.entries(expected)) {
      expectSame(a[name]!.data as Float32Array, data, name, 1e-5);
      expectSame(b[name]!.data as Float32Array, data, name, 1e-5);
    }
  });
});

describe("a batch with room for more rows", () => {
  const rows = symbolicDim("N", 5);
  const { outputs } = routed(rows, [[4, 4, 2]]);
  const route: Route = { kept: [2, 0], probe: [1] };
  const [feeds, padded] = [feedsOf(3, [route]), feedPadder({ outputs })(feedsOf(3, [route]))];

  it("gives the loss and the gradients of its own rows", () => {
    const [found, expected] = [
      evaluate(fixCapacities({ outputs }), values(padded)),
      evaluate({ outputs }, values(feeds)),
    ];
    for (const [name, { data }] of Object.entries(expected)) {
      expect(
        expectSame(found[name]!.data, data, name, 1e-12).filter((x) => x !== 0),
        name,
      ).toEqual([]);
    }
  });

  it("is fed zeros, the row of zeros and moved places", () => {
    const numbers = ["weight", "kept.0", "dropped.0", "probe.0", "inverse.0"].map((name) => [...padded[name]!.data]);
    expect(numbers.slice(1)).toEqual([
      [2, 0, 5, 5],
      [1, 5, 5, 5],
      [1, 5],
      [1, 4, 0, 8, 8],
    ]);
    expect(numbers[0]!.slice(3)).toEqual([0, 0]);
    expect(padded.w1).not.toBeUndefined();
  });

  it("looks up rows of a table, and sums into a table nothing that only fills up", () => {
    const labels = g.input("y", [rows], "int32");
    const table = g.parameter("table", [3, 2]);
    const y = g.gather(table, labels);
    const dTable = gradient(g.sum(g.exp(y)), [table])[0]!;
    const graph = { outputs: { y, dTable } };
    const fed = { y: int32([2, 0, 2]), table: random("table", 3, 2) };
    const found = evaluate(fixCapacities(graph), values(feedPadder(graph)(fed)));
    const expected = evaluate(graph, values(fed));
    expectSame(found.dTable!.data, expected.dTable!.data, "dTable", 1e-12);
    expect(expectSame(found.y!.data, expected.y!.data, "y", 1e-12)).toEqual([0, 0, 0, 0]);
  });
});

describe("graphs", () => {
  it("that pick rows of whole numbers run too", async () => {
    const table = g.input("table", [3], "int32");
    const graph = { outputs: { y: g.gather(table, g.input("rows", [symbolicDim("N", 4)], "int32")) } };
    const feeds = feedPadder(graph)({ table: int32([7, 8, 9]), rows: int32([2, 0]) });
    const session = await cpuEngine({ threads: 1 }).compile(fixCapacities(graph));
    expect([...(await runAndRead(session, feeds)).y!.data]).toEqual([9, 7, 0, 0]);
  });

  it("without capacities stay the same object, and their feeds the same arrays", () => {
    const x = g.input("x", [symbolicDim("N"), 2]);
    const graph = { outputs: { y: g.exp(x) } };
    expect(fixCapacities(graph)).toBe(graph);
    const fed = { x: random("x", 3, 2) };
    expect(feedPadder(graph)(fed).x).toBe(fed.x);
  });

  it("print as plain gathers", () => {
    const [x, inverse] = [g.input("x", [2, 3]), g.input("inverse", [2], "int32")];
    const index = (name: string) => g.input(name, [symbolicDim(name, 2)], "int32");
    const routes = { kept: index("kept"), dropped: index("dropped"), inverse };
    const [kept, dropped] = g.partitionRows(x, routes);
    expect(
      printGraph(fixCapacities({ outputs: { y: g.mergeRows(g.exp(kept), dropped, routes) } })),
    ).toMatchInlineSnapshot(`
      "%0 = pad<axis:0,before:0,after:1>(input x) [3, 3]
      %1 = gather(%0, input kept) [2, 3]
      %2 = gather(%0, input dropped) [2, 3]
      %3 = exp(%1) [2, 3]
      %4 = concat<axis:0>(%3, %2) [4, 3]
      %5 = gather(%4, input inverse) [2, 3]
      y: %5"
    `);
  });

  it("with a capacity on another axis are filled up there", () => {
    const x = g.input("x", [2, symbolicDim("T", 4)]);
    const graph = { outputs: { y: g.mul(x, 2) } };
    const fed = { x: float32([1, 2, 3, 4], [2, 2]) };
    const found = evaluate(fixCapacities(graph), values(feedPadder(graph)(fed)));
    expect([...found.y!.data]).toEqual([2, 4, 0, 0, 6, 8, 0, 0]);
  });
});

describe("what cannot be fixed is refused with its name:", () => {
  const index = (name: string, capacity?: number, symbol = name) =>
    g.input(name, [symbolicDim(symbol, capacity)], "int32");
  const x = g.input("x", [3, 2]);

  it("a draw over its capacity", () => {
    const graph = { outputs: { y: g.gather(x, index("probe.3", 2)) } };
    const fed = { x: random("x", 3, 2), "probe.3": int32([0, 1, 2]) };
    expect(() => feedPadder(graph)(fed)).toThrow(ShapeError);
    expect(() => feedPadder(graph)(fed)).toThrow(
      "probe.3: 3 along axis 0 exceed the capacity 2; run the graph without",
    );
  });

  it("a size with two capacities", () => {
    const graph = { outputs: { y: g.gather(x, index("a", 2, "N")), z: g.gather(x, index("b", 3, "N")) } };
    expect(() => fixCapacities(graph)).toThrow("the size N has two capacities, 2 and 3");
  });

  it("a route of which only some sizes have one", () => {
    const routes = { kept: index("kept", 2), dropped: index("dropped"), inverse: g.input("inverse", [3], "int32") };
    const graph = { outputs: { y: g.partitionRows(x, routes)[0] } };
    expect(() => fixCapacities(graph)).toThrow(
      "the sizes kept, dropped, 3 of a route: only some of them have a capacity",
    );
  });

  it("an index that is computed", () => {
    const graph = { outputs: { y: g.gather(x, g.cast(g.input("a", [symbolicDim("N", 2)]), "int32")) } };
    expect(() => feedPadder(graph)).toThrow("must be an input of the graph, found the result of cast");
  });

  it("an index that counts the rows of two tables", () => {
    const probe = index("probe", 2);
    const graph = { outputs: { y: g.gather(x, probe), z: g.gather(g.input("long", [9, 2]), probe) } };
    expect(() => feedPadder(graph)).toThrow("index probe counts the rows of two tables, with 3 and 9 rows");
  });
});
