/** Students before their recovery: made by a mask, in width, in two stages, or not at all. */
import {
  decideWidths,
  InputError,
  keepBlocks,
  keptOfFraction,
  type LoadedModel,
  layerMap,
  prunedFacts,
  prunedModel,
  readWeights,
  requirePrunableModel,
  type Stacks,
  type WidthDecision,
  type Widths,
  widthPruningOf,
  widthsOf,
} from "tinyfusion";
import { type Settings, type StudyContext, secondsSince, type Trial, type Work } from "../trials/trial.ts";
import type { OpenedBenchmark } from "./benchmark.ts";
import type { Budget } from "./budget.ts";
import { searchMask } from "./mask-search.ts";
import { type LearnedMask, type MaskTrial, searchPlan } from "./masks.ts";
import { type RecoveryPlan, recover } from "./recover.ts";

/** A student that is not recovered yet. */
export interface Student {
  readonly model: LoadedModel;
  /** The model that it is distilled from. */
  readonly teacher: LoadedModel;
  /** Blocks of the benchmark's teacher that it has; absent where it has all. */
  readonly kept?: readonly number[];
  /** Of choosing what to keep, and of a recovery on the way. */
  readonly chooseSeconds: number;
  readonly earlierRecoverySeconds?: number;
}

/** Makes a student; its settings identify it. */
export interface StudentMaker {
  readonly settings: Settings;
  readonly needs: readonly Trial[];
  readonly work: Work;
  make(context: StudyContext, benchmark: OpenedBenchmark, seed: number): Promise<Student>;
}

const stacksOf = ({ model: { family, config } }: LoadedModel): Stacks => family.stacks(config);

/** A model with some of its blocks; its layer map is the paper's. */
export function shallow(
  teacher: LoadedModel,
  kept: readonly number[],
  weights: LoadedModel["tensors"] = teacher.tensors,
): LoadedModel {
  const { family, config } = teacher.model;
  const pairs = layerMap("paper", stacksOf(teacher), kept);
  return {
    ...prunedFacts(teacher, { kept, layerMap: pairs }),
    model: { family, config: family.keep(config, kept) },
    tensors: keepBlocks(teacher.model, weights, kept),
    sha256: "",
    path: `blocks ${kept.join(",")} of ${teacher.path}`,
  };
}

/** Half of the blocks: 0, 2, 4, … */
export const everyOther = (depth: number): number[] => Array.from({ length: Math.ceil(depth / 2) }, (_, i) => 2 * i);

/** The blocks of a mask. */
export function byMask(mask: MaskTrial): StudentMaker {
  return byKept({ mask: mask.file }, mask, ({ kept, seconds }) => ({ kept, seconds }));
}

/** Blocks that another trial's result names. */
export function byKept<R>(
  settings: Settings,
  trial: Trial<R>,
  choose: (result: R) => { readonly kept: readonly number[]; readonly seconds: number },
): StudentMaker {
  return {
    settings,
    needs: [trial],
    work: {},
    async make(context, { teacher }) {
      const { kept, seconds } = choose(context.result(trial));
      return { model: shallow(teacher, kept), teacher, kept, chooseSeconds: seconds };
    },
  };
}

/**
 * The blocks of a learned mask with the weights that were learned beside it. The search is run again: files hold no
 * weights.
 * @throws InputError if it finds another mask, as on other threads or another machine.
 */
export function withUpdate(mask: MaskTrial, budget: Budget, given: LearnedMask): StudentMaker {
  const plan = searchPlan(budget, given);
  return {
    settings: { mask: mask.file, keepUpdate: true },
    needs: [mask],
    work: { searchSteps: plan.steps },
    async make(context, { teacher, data }) {
      const { kept, updated, seconds } = await searchMask(context, teacher, data, plan, mask.seed);
      const expected = context.result(mask).kept;
      if (String(kept) !== String(expected)) {
        throw new InputError(
          `the search of ${mask.file}, run again for its weights: expected blocks ${expected}, found ${kept}; use the threads, machine and versions that the mask was found with, or remove its trial and those that need it`,
        );
      }
      return { model: shallow(teacher, kept, updated()), teacher, kept, chooseSeconds: seconds };
    },
  };
}

/** The teacher itself. */
export const unpruned: StudentMaker = {
  settings: { pruning: "none" },
  needs: [],
  work: {},
  make: async (_, { teacher }) => ({ model: teacher, teacher, chooseSeconds: 0 }),
};

const HALF_WIDTH = 0.5;

/** Diff-Pruning at half width: half of the heads and MLP channels of every block. */
export function byWidth(budget: Budget): StudentMaker {
  const { widthExamples: examples, widthTimesteps: timesteps, recoveryBatch } = budget;
  const settings = { examples, timesteps, threshold: 0.05, microBatch: Math.min(32, examples) };
  return {
    settings: { pruning: "width", criterion: "diff-pruning", share: HALF_WIDTH, ...settings },
    needs: [],
    // Losses and then gradients of each image at each timestep, about as much as so many steps.
    work: { recoverySteps: Math.ceil((examples * timesteps) / recoveryBatch) },
    async make(context, { teacher, data }, seed) {
      const started = performance.now();
      const decision = await decideWidths(
        teacher,
        { criterion: "diff-pruning", keep: halfWidths(teacher), seed },
        {
          engine: context.engine,
          data,
          hooks: { signal: context.signal },
          settings: { ...settings, process: teacher.process },
        },
      );
      const model = await slicedModel(teacher, decision);
      return { model, teacher, chooseSeconds: secondsSince(started) };
    },
  };
}

/** Half of the width at random, where only shapes matter. */
export const anyHalfWidth = async (teacher: LoadedModel): Promise<LoadedModel> =>
  slicedModel(teacher, await decideWidths(teacher, { criterion: "random", keep: halfWidths(teacher), seed: 0 }));

function halfWidths({ model, path }: LoadedModel): Widths {
  const { heads, channels } = widthsOf(requirePrunableModel(model, path));
  return { heads: keptOfFraction(heads, HALF_WIDTH), channels: keptOfFraction(channels, HALF_WIDTH) };
}

async function slicedModel(teacher: LoadedModel, decision: WidthDecision): Promise<LoadedModel> {
  const original = requirePrunableModel(teacher.model, teacher.path);
  const { model, weights } = prunedModel(original, teacher.tensors, decision);
  return {
    ...teacher,
    model,
    tensors: await readWeights(weights),
    prunings: [...teacher.prunings, widthPruningOf(teacher, original, decision)],
    sha256: "",
    path: `half width of ${teacher.path}`,
  };
}

/** Half of the blocks, recovered, and half of those again; the student of the first stage teaches the second. */
export function inTwoStages(mask: MaskTrial, budget: Budget, first: RecoveryPlan): StudentMaker {
  const plan = searchPlan(budget);
  return {
    settings: { mask: mask.file, firstRecovery: first, secondSearch: plan },
    needs: [mask],
    work: { searchSteps: plan.steps, recoverySteps: first.steps },
    async make(context, { teacher, data }, seed) {
      const half = context.result(mask);
      // Another seed than the second recovery's: it is not to see the same noise again.
      const recovery = { ...first, seed: seed + SECOND_STAGE };
      const { model: middle, seconds } = await recover(context, shallow(teacher, half.kept), teacher, data, recovery);
      const search = await searchMask(context, middle, data, plan, seed + SECOND_STAGE);
      return {
        model: shallow(middle, search.kept),
        teacher: middle,
        kept: search.kept.map((block) => half.kept[block]!),
        chooseSeconds: half.seconds + search.seconds,
        earlierRecoverySeconds: seconds,
      };
    },
  };
}

/** Added to seeds of the second stage; far from all seeds of studies. */
const SECOND_STAGE = 500_000;
