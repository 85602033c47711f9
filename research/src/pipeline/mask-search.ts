/** A mask search in memory: the paper's algorithm with the settings of a study. */
import {
  adamWDefaults,
  type DecisionMoment,
  type Delta,
  InputError,
  type LearnSettings,
  type LoadedModel,
  learnMasks,
  loraDefaults,
  mergeLora,
  NonFiniteError,
  parseGroups,
  type TrainingSet,
} from "tinyfusion";
import { type StudyContext, secondsSince } from "../trials/trial.ts";

/** The settings in which searches differ. */
export interface SearchPlan {
  readonly groups: string;
  readonly delta: Delta;
  readonly steps: number;
  readonly batch: number;
  /** Peak rate of the weight update. */
  readonly rate: number;
  /** Peak rate of the gates. */
  readonly gateRate: number;
}

/** One moment of a search, rounded: which blocks would stay, and how likely each is to. */
export interface Moment {
  readonly step: number;
  readonly kept: readonly number[];
  /** [depth] */
  readonly probabilities: readonly number[];
}

export interface Searched {
  readonly kept: readonly number[];
  /** Of each group, from averaged gates. */
  readonly confidence: readonly number[];
  /** Steps after which the decision changed. */
  readonly flips: readonly number[];
  readonly history: readonly Moment[];
  /** With building the graph. */
  readonly seconds: number;
}

/** A search with the weights it leaves, the update merged into them. */
export interface SearchedModel extends Searched {
  readonly updated: () => LoadedModel["tensors"];
}

/** Moments of a search that are stored. */
const MOMENTS = 60;

/** Shares of a search in which the gates' rate rises, and after which it has fallen to 0. */
const [GATES_RISE, GATES_STOP] = [0.2, 0.65];

/**
 * The settings of all searches of studies (LOG.md, "The search"): the weight update learns first, so that gates
 * compare losses that it has already brought down, and the decision no longer changes in the last third.
 */
function searchSettings(plan: SearchPlan, seed: number, process: LearnSettings["process"]): LearnSettings {
  const { steps, batch, delta, rate, gateRate } = plan;
  const warmupSteps = Math.min(20, Math.floor(steps / 10));
  return {
    process,
    labelDrop: 0.1,
    recompute: false,
    steps,
    batchSize: batch,
    microBatch: batch,
    seed,
    delta,
    lora: loraDefaults,
    execution: "routed",
    counterfactual: 1,
    learningRate: { base: rate, kind: "cosine", final: rate / 10, warmupSteps },
    gateLearningRate: {
      base: gateRate,
      kind: "cosine",
      final: 0,
      span: GATES_STOP,
      warmupSteps: Math.round(GATES_RISE * steps),
    },
    clipNorm: 1,
    emaDecay: 0.999,
    emaWarmup: true,
    tau: [4, 0.1],
    scale: [100, 100],
    gateInit: 0.02,
    adamw: adamWDefaults,
  };
}

/** Learns which blocks of `file` to keep. @throws InputError for a loss that is not finite. */
export async function searchMask(
  context: StudyContext,
  file: LoadedModel,
  data: TrainingSet,
  plan: SearchPlan,
  seed: number,
): Promise<SearchedModel> {
  const started = performance.now();
  const groups = parseGroups(plan.groups, file.model.family.stacks(file.model.config));
  const settings = searchSettings(plan, seed, file.process);
  const { learning, trainer } = await learnMasks(context.engine, file, groups, data, settings);
  try {
    for (let step = 0; step < plan.steps; step++) {
      context.signal.throwIfAborted();
      await learning.step(step);
    }
    const { kept, confidence } = learning.decision(plan.steps);
    const arrays = await trainer.read("weights");
    return {
      kept,
      confidence: confidence.map(rounded),
      flips: [...learning.flips],
      history: someMoments(learning.history),
      seconds: secondsSince(started),
      updated: () =>
        plan.delta === "lora" ? mergeLora(file.tensors, arrays, loraDefaults) : new Map([...file.tensors, ...arrays]),
    };
  } catch (error) {
    if (!(error instanceof NonFiniteError)) throw error;
    throw new InputError(
      `mask search of ${file.path}: the loss is not finite (${JSON.stringify(error.terms)}); expected numbers, use a lower rate`,
    );
  } finally {
    await trainer.release();
  }
}

const rounded = (p: number): number => Math.round(p * 1000) / 1000;

/** Evenly chosen, first and last included: a file of all of them would be large. */
function someMoments(history: readonly DecisionMoment[]): Moment[] {
  const count = Math.min(MOMENTS, history.length);
  const chosen = Array.from(
    { length: count },
    (_, i) => history[Math.round((i * (history.length - 1)) / Math.max(1, count - 1))]!,
  );
  return chosen.map(({ step, kept, probabilities }) => ({
    step,
    kept,
    probabilities: Array.from(probabilities, (p) => Math.round(p * 100) / 100),
  }));
}

/** What a file of results keeps of a search. */
export const withoutWeights = ({ updated: _, ...searched }: SearchedModel): Searched => searched;
