/** One mask-learning step on a fixture's inputs, executed dense or routed. */

import { float32, int32, type NDArray } from "../../src/array/ndarray.ts";
import { denoise, lossOf } from "../../src/diffusion/losses.ts";
import { namedSchedule } from "../../src/diffusion/schedule.ts";
import { runAndRead } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { mul, sum } from "../../src/graph/build.ts";
import { gradient } from "../../src/graph/gradient.ts";
import type { DiTConfig } from "../../src/models/dit/config.ts";
import { modelOf, predictor } from "../../src/models/registry.ts";
import { Params } from "../../src/nn/params.ts";
import { drawMask, type GateGroup, gateCount, type Temperature } from "../../src/pruning/draw-mask.ts";
import { addGateGradient } from "../../src/pruning/gate-gradient.ts";
import type { MaskExecution } from "../../src/pruning/mask-execution.ts";
import { probeProbabilities } from "../../src/pruning/routes.ts";
import { type LoraSettings, withLora } from "../../src/training/lora.ts";
import { gaussianObjective } from "../../src/training/objectives.ts";
import type { Fixture } from "./fixture.ts";

export interface MaskStepInputs {
  readonly config: DiTConfig;
  readonly groups: readonly GateGroup[];
  readonly gates: ArrayLike<number>;
  /** Noise of each row over all gates. */
  readonly gumbel: readonly Float64Array[];
  readonly temperature: Temperature;
  readonly feeds: Record<string, NDArray>;
  readonly weights: Record<string, NDArray>;
  readonly lora?: LoraSettings & { readonly factors: Record<string, NDArray> };
}

/** Per-sample results, gradients of the low-rank factors (`grad/…`) and of the gates. */
export async function maskStep(execution: MaskExecution, inputs: MaskStepInputs) {
  const { config, groups, gates, gumbel, temperature, feeds, weights, lora } = inputs;
  const rows = gumbel.length;
  const model = modelOf(config);
  const [p, adapters] = [new Params(), new Params()];
  const schedule = namedSchedule("linear", 1000);
  const batch = gaussianObjective(schedule).inputs(model, rows);
  const predict = predictor(model, p, execution.runBlock);
  const denoised = denoise(predict, schedule, batch);
  const { output } = denoised;
  const { loss, mse, vb } = lossOf(denoised, schedule, batch);
  const terms = { perSample: loss, mse, vb: vb!, output };
  const traced = { loss: mul(sum(loss), 1 / rows), terms, tensorOf: (name: string) => p.tensor(name) };
  const complete = execution.complete(traced, (tensors) => (lora ? withLora(tensors, adapters, lora) : [...tensors]));
  const names = adapters.specs().map(({ name }) => name);
  const gradients = gradient(
    complete.loss,
    names.map((name) => adapters.tensor(name)),
  );
  const outputs = {
    ...complete.terms,
    ...complete.extras,
    ...Object.fromEntries(names.map((name, i) => [`grad/${name}`, gradients[i]!])),
  };
  const session = await cpuEngine().compile({ outputs });
  const draws = gumbel.map((noise) => drawMask(groups, gates, noise, temperature));
  const probabilities = probeProbabilities(groups, draws, temperature, 1);
  const masks = execution.feeds(draws, probabilities, { seed: 0, step: 0, first: 0 });
  const results = await runAndRead(session, { ...weights, ...lora?.factors, ...feeds, ...masks.feeds });
  const gateGradient = new Float64Array(gateCount(groups));
  masks.gradient(results).forEach((maskGradient, n) => {
    addGateGradient(groups, gateGradient, draws[n]!, maskGradient, temperature);
  });
  return { results, draws, gateGradient, adapterNames: names };
}

/** The gate vectors of a fixture, `prefix` + group number, put end to end: one row per sample. */
export function gateRows(
  fixture: Fixture<unknown, unknown>,
  prefix: string,
  groups: readonly GateGroup[],
): Float64Array[] {
  const parts = groups.map((_, g) => fixture.tensor(`${prefix}${g}`));
  const rows = parts[0]!.shape[0]!;
  return Array.from({ length: rows }, (_, n) =>
    Float64Array.from(parts.flatMap((part) => [...(part.rows(n, n + 1).data as Float32Array)])),
  );
}

/** The feeds of a batch stored under `prefix`, with dropped labels replaced. */
export function batchFeeds(
  fixture: Fixture<unknown, unknown>,
  prefix: string,
  numClasses: number,
): Record<string, NDArray> {
  const tensor = (name: string) => fixture.tensor(`${prefix}${name}`);
  const drop = fixture.names.includes(`${prefix}drop_ids`) ? tensor("drop_ids").data : undefined;
  const y = Int32Array.from(tensor("y").data as Int32Array, (label, i) => (drop?.[i] ? numClasses : label));
  const rows = y.length;
  return {
    xStart: tensor("x_start"),
    noise: tensor("noise"),
    index: tensor("t"),
    y: int32(y),
    weight: float32(new Float32Array(rows).fill(1 / rows)),
  };
}
