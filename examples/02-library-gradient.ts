/**
 * The engine without a model: write a function of symbolic tensors, differentiate it, run it. A line is fitted to points
 * by gradient descent; the gradient is a graph like any other. `npm run examples` runs it.
 */
import { float32, openDevice, runAndRead } from "tinyfusion";
import { gradient, ops, printGraph, symbolicDim } from "tinyfusion/graph";
import { Params } from "tinyfusion/models";

const { input, linear, mul, sub, sum } = ops;

// ŷ = x Wᵀ + b over named weights; the number of points is known only when the graph runs.
const p = new Params();
const [x, y] = [input("x", [symbolicDim("points"), 1]), input("y", [symbolicDim("points"), 1])];
const line = p.at("line");
const prediction = linear(x, line.get("weight", [1, 1], { kind: "zeros" }), line.get("bias", [1], { kind: "zeros" }));
const error = sub(prediction, y);
const loss = sum(mul(error, error));
const names = p.specs().map(({ name }) => name);
const gradients = gradient(
  loss,
  names.map((name) => p.tensor(name)),
);
console.log(printGraph({ outputs: { loss } }));

const outputs = Object.fromEntries(names.map((name, i) => [`d ${name}`, gradients[i]!]));
const session = await openDevice("cpu", { threads: 1 }).compile({ outputs: { loss, ...outputs } });
const weights = { "line.weight": float32([0], [1, 1]), "line.bias": float32([0]) };
const points = { x: float32([0, 1, 2, 3], [4, 1]), y: float32([1, 3, 5, 7], [4, 1]) }; // y = 2x + 1

for (let step = 0; step <= 200; step++) {
  const results = await runAndRead(session, { ...weights, ...points });
  if (step % 50 === 0) console.log(`step ${step}: loss ${Number(results.loss!.data[0]).toFixed(6)}`);
  for (const [name, { data }] of Object.entries(weights)) data[0]! -= 0.02 * Number(results[`d ${name}`]!.data[0]);
}
await session.release();

const [slope, offset] = [weights["line.weight"].data[0]!, weights["line.bias"].data[0]!];
console.log(`y = ${slope.toFixed(3)} x + ${offset.toFixed(3)}`);
if (Math.abs(slope - 2) > 0.01 || Math.abs(offset - 1) > 0.01) throw new Error("expected y = 2 x + 1");
