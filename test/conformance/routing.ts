/** A step of mask learning on given masks, executed densely or routed: the loss and every gradient. N examples. */
import { float32, type NDArray } from "../../src/array/ndarray.ts";
import { uniforms } from "../../src/array/random.ts";
import { gradient } from "../../src/graph/gradient.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { Params, trainable } from "../../src/nn/params.ts";
import { denseExecution, type MaskExecution, routedExecution } from "../../src/pruning/mask-execution.ts";
import { withLora } from "../../src/training/lora.ts";
import { trainingLoss } from "../../src/training/objective.ts";
import { objectiveOf } from "../../src/training/objectives.ts";
import { type TracedLoss, Trainer } from "../../src/training/trainer.ts";
import { awakeWeights } from "../training/tiny.ts";
import { BATCH, drawBatches, engine } from "./evaluate.ts";
import type { Row } from "./models.ts";

/** 1 where example n keeps block i. */
export type Masks = (n: number, i: number) => number;

/** Kept sets of all sizes, and at the ends. */
export const maskCases: Readonly<Record<string, Masks>> = {
  "some keep, some drop": (n, i) => Math.round(uniforms({ seed: 8, purpose: "mask", step: i, index: n }, 1)[0]!),
  "all keep the even blocks, nobody the odd ones": (_, i) => 1 - (i % 2),
  "all keep all": () => 1,
  "nobody keeps any": () => 0,
};

/** A traced step with low-rank updates; its weights and factors are both trained. */
export interface MaskStep {
  readonly execution: MaskExecution;
  readonly traced: TracedLoss;
  readonly specs: ReturnType<Params["specs"]>;
  readonly fixed: ReadonlyMap<string, NDArray>;
  readonly initial: ReadonlyMap<string, NDArray<"float32">>;
}

export function maskStep({ model, process, weights }: Row, kind: "dense" | "routed", rows: number): MaskStep {
  const execution = kind === "dense" ? denseExecution(rows, model.config.depth) : routedExecution();
  const [p, factors] = [new Params(), new Params()];
  const plain = trainingLoss(objectiveOf(process), { model, p, runBlock: execution.runBlock, isTraining: true }, rows);
  const traced = execution.complete(plain, (tensors) => withLora(tensors, factors, { rank: 2, alpha: 4 }));
  const isFactor = new Set(factors.specs().map(({ name }) => name));
  const constants = p.specs().filter(({ init }) => init.kind === "fixed");
  return {
    execution,
    traced: { ...traced, tensorOf: (name) => (isFactor.has(name) ? factors : p).tensor(name) },
    specs: [...trainable(p.specs()), ...factors.specs()],
    fixed: new Map(constants.map(({ name }) => [name, weights.get(name)!])),
    initial: new Map([...weights, ...awakeWeights(factors.specs())]),
  };
}

/** What a step on these masks is fed, beside the examples: every dropped row is probed. */
export function maskFeeds({ execution }: MaskStep, { model }: Row, masks: Masks, first: number, rows: number) {
  const { depth } = model.config;
  const draws = Array.from({ length: rows }, (_, row) => ({
    ...{ soft: new Float64Array(), chosen: [] },
    mask: Uint8Array.from({ length: depth }, (_, i) => masks(first + row, i)),
  }));
  const always = draws.map(() => new Float64Array(depth).fill(1));
  return execution.feeds(draws, always, { seed: 6, step: 0, first });
}

/** The loss and its gradients by all weights, low-rank factors and masks [N, depth], summed over micro-batches. */
export async function maskGradients(
  row: Row,
  kind: "dense" | "routed",
  microBatch: number,
): Promise<(masks: Masks) => Promise<Map<string, NDArray>>> {
  const step = maskStep(row, kind, microBatch);
  const { depth } = row.model.config;
  const trainer = await Trainer.compile(engine, step.traced, step.specs, step.initial, { fixed: step.fixed });
  return async (masks) => {
    const prepared = (await drawBatches(row, microBatch)).map((batch, k) => {
      const fed = maskFeeds(step, row, masks, k * microBatch, microBatch);
      return { fed, batch: { ...batch, ...fed.feeds } };
    });
    const { terms, extras } = await trainer.gradients(prepared.map(({ batch }) => batch));
    const gradients = prepared.flatMap(({ fed }, k) => fed.gradient(extras[k]!)).slice(0, BATCH);
    const all = new Map<string, NDArray>([
      ...Object.entries(terms).map(([name, value]) => [name, float32([value], [])] as const),
      ["masks", float32(Float32Array.from(gradients.flatMap((row) => [...row])), [BATCH, depth])],
    ]);
    for (const { name } of step.specs) all.set(name, await trainer.gradientOf(name));
    return all;
  };
}

/** The step as one graph: loss, mask gradients and the gradient of everything that is trained. */
export function maskGraph({ traced, specs }: MaskStep): Graph {
  const gradients = gradient(
    traced.loss,
    specs.map(({ name }) => traced.tensorOf(name)),
  );
  const named = specs.map(({ name }, i) => [`d ${name}`, gradients[i]!] as const);
  return { outputs: { loss: traced.loss, ...traced.extras, ...Object.fromEntries(named) } };
}
