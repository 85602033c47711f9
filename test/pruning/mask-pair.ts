/** One mask-learning gradient of a tiny model, executed dense and routed, for comparison. */
import { float32, int32, type NDArray, sizeOf } from "../../src/array/ndarray.ts";
import { gumbels, normals } from "../../src/array/random.ts";
import { defaultProcess, scheduleOf } from "../../src/diffusion/process.ts";
import { type NamedArrays, type Program, runAndRead } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { gradient } from "../../src/graph/gradient.ts";
import { type Model, modelOf } from "../../src/models/registry.ts";
import { initialWeights } from "../../src/nn/init.ts";
import { Params } from "../../src/nn/params.ts";
import { drawMask, type GateGroup, gateCount, gateGroups, type MaskDraw } from "../../src/pruning/draw-mask.ts";
import { addGateGradient } from "../../src/pruning/gate-gradient.ts";
import { parseGroups } from "../../src/pruning/groups.ts";
import { denseExecution, type MaskExecution, routedExecution } from "../../src/pruning/mask-execution.ts";
import { probeProbabilities } from "../../src/pruning/routes.ts";
import { withLora } from "../../src/training/lora.ts";
import { trainingLoss } from "../../src/training/objective.ts";
import { gaussianObjective } from "../../src/training/objectives.ts";

export const depth = 4;
export const temperature = { tau: 2, scale: 100 };
export const groups: readonly GateGroup[] = gateGroups(parseGroups("1:2", depth));
export const model: Model = modelOf({
  inputSize: 8,
  patchSize: 4,
  inChannels: 1,
  hiddenSize: 16,
  depth,
  numHeads: 2,
  numClasses: 10,
});

/** A compiled execution. */
export interface Executed {
  readonly execution: MaskExecution;
  readonly session: Program;
  readonly names: readonly string[];
  readonly weights: NamedArrays;
}

/** Weights of which none is zero, equal for every call. */
function awake(specs: ReturnType<Params["specs"]>): Map<string, NDArray<"float32">> {
  const weights = initialWeights(specs, 0);
  for (const [name, value] of weights) {
    const noise = normals({ seed: 1, purpose: name, step: 0, index: 0 }, value.size);
    for (let i = 0; i < value.size; i++) value.data[i] = value.data[i]! + 0.1 * noise[i]!;
  }
  return weights;
}

export async function compile(kind: "dense" | "routed", rows: number): Promise<Executed> {
  const execution = kind === "dense" ? denseExecution(rows, depth) : routedExecution();
  const [p, lora] = [new Params(), new Params()];
  const plain = trainingLoss(
    gaussianObjective(scheduleOf(defaultProcess)),
    { model, p, runBlock: execution.runBlock, isTraining: true },
    rows,
  );
  const traced = execution.complete(plain, (tensors) => withLora(tensors, lora, { rank: 2, alpha: 4 }));
  const names = lora.specs().map(({ name }) => name);
  const gradients = gradient(
    traced.loss,
    names.map((name) => lora.tensor(name)),
  );
  const outputs = {
    loss: traced.loss,
    ...traced.extras,
    ...Object.fromEntries(names.map((name, i) => [name, gradients[i]!])),
  };
  const session = await cpuEngine({ threads: 1 }).compile({ outputs: prefixed(outputs, names) });
  return { execution, session, names, weights: Object.fromEntries([...awake(p.specs()), ...awake(lora.specs())]) };
}

const prefixed = <T>(outputs: Record<string, T>, names: readonly string[]): Record<string, T> =>
  Object.fromEntries(Object.entries(outputs).map(([name, x]) => [names.includes(name) ? `d ${name}` : name, x]));

/** A batch of random images; label 10 is a dropped one. */
export function batchOf(rows: number): NamedArrays {
  const shape = [rows, 1, 8, 8];
  const images = (purpose: string) => float32(normals({ seed: 2, purpose, step: 0, index: 0 }, sizeOf(shape)), shape);
  return {
    xStart: images("x"),
    noise: images("noise"),
    index: int32(Int32Array.from({ length: rows }, (_, i) => (i * 97) % 1000)),
    y: int32(Int32Array.from({ length: rows }, (_, i) => (i % 3 === 0 ? 10 : i % 10))),
    weight: float32(new Float32Array(rows).fill(1 / rows)),
  };
}

/** Masks of a batch; gates may favour one option of each group strongly. */
export function drawsOf(rows: number, gates: Float32Array): MaskDraw[] {
  return Array.from({ length: rows }, (_, n) =>
    drawMask(groups, gates, gumbels({ seed: 4, purpose: "gumbel", step: 0, index: n }, gateCount(groups)), temperature),
  );
}

/** Loss, low-rank gradients and gate gradient. */
export async function run(
  { execution, session, names, weights }: Executed,
  rows: number,
  draws: readonly MaskDraw[],
  share = 1,
  coin = 0,
) {
  const probabilities = probeProbabilities(groups, draws, temperature, share);
  const masks = execution.feeds(draws, probabilities, { seed: 6, step: coin, first: 0 });
  const results = await runAndRead(session, { ...weights, ...batchOf(rows), ...masks.feeds });
  const gates = new Float64Array(gateCount(groups));
  masks.gradient(results).forEach((gradient, n) => {
    addGateGradient(groups, gates, draws[n]!, gradient, temperature);
  });
  return {
    loss: Number(results.loss!.data[0]),
    factors: names.map((name) => results[`d ${name}`]!.data as Float32Array),
    gates,
  };
}
