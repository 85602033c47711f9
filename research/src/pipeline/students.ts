/** Students before their recovery: how each comes about, by a mask, in width, in two stages, or not at all. */
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
import { type Cell, type Lab, type Settings, secondsSince, type Work } from "../trials/trial.ts";
import type { Subject } from "./benchmark.ts";
import type { Budget } from "./budget.ts";
import { searchMask } from "./mask-search.ts";
import { type LearnedMask, type MaskCell, searchPlan } from "./masks.ts";
import { type RecoveryPlan, recover } from "./recover.ts";

/** A student that is not recovered yet. */
export interface Student {
  readonly model: LoadedModel;
  /** The model that it is distilled from. */
  readonly teacher: LoadedModel;
  /** Blocks of the subject's teacher that it has; absent where it has all. */
  readonly kept?: readonly number[];
  /** Of choosing what to keep, and of a recovery on the way. */
  readonly chooseSeconds: number;
  readonly earlierRecoverySeconds?: number;
}

/** How a student comes about. */
export interface StudentSpec {
  readonly settings: Settings;
  readonly needs: readonly Cell[];
  readonly work: Work;
  make(lab: Lab, subject: Subject, seed: number): Promise<Student>;
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
export function byMask(mask: MaskCell): StudentSpec {
  return byKept({ mask: mask.file }, mask, ({ kept, seconds }) => ({ kept, seconds }));
}

/** Blocks that another cell's result names. */
export function byKept<R>(
  settings: Settings,
  cell: Cell<R>,
  choose: (result: R) => { readonly kept: readonly number[]; readonly seconds: number },
): StudentSpec {
  return {
    settings,
    needs: [cell],
    work: {},
    async make(lab, { teacher }) {
      const { kept, seconds } = choose(lab.result(cell));
      return { model: shallow(teacher, kept), teacher, kept, chooseSeconds: seconds };
    },
  };
}

/**
 * The blocks of a learned mask with the weights that were learned beside it. The search is run again: files hold no
 * weights.
 * @throws InputError if it finds another mask, as on other threads or another machine.
 */
export function withUpdate(mask: MaskCell, budget: Budget, given: LearnedMask): StudentSpec {
  const plan = searchPlan(budget, given);
  return {
    settings: { mask: mask.file, keepUpdate: true },
    needs: [mask],
    work: { searchSteps: plan.steps },
    async make(lab, { teacher, data }) {
      const { kept, updated, seconds } = await searchMask(lab, teacher, data, plan, mask.seed);
      const expected = lab.result(mask).kept;
      if (String(kept) !== String(expected)) {
        throw new InputError(
          `the search of ${mask.file}, run again for its weights: expected blocks ${expected}, found ${kept}; use the threads, machine and versions that the mask was found with, or remove its cell and those that need it`,
        );
      }
      return { model: shallow(teacher, kept, updated()), teacher, kept, chooseSeconds: seconds };
    },
  };
}

/** The teacher itself. */
export const unpruned: StudentSpec = {
  settings: { pruning: "none" },
  needs: [],
  work: {},
  make: async (_, { teacher }) => ({ model: teacher, teacher, chooseSeconds: 0 }),
};

const HALF_WIDTH = 0.5;

/** Diff-Pruning at half width: half of the heads and MLP channels of every block. */
export function byWidth(budget: Budget): StudentSpec {
  const { widthExamples: examples, widthTimesteps: timesteps, recoveryBatch } = budget;
  const settings = { examples, timesteps, threshold: 0.05, microBatch: Math.min(32, examples) };
  return {
    settings: { pruning: "width", criterion: "diff-pruning", share: HALF_WIDTH, ...settings },
    needs: [],
    // Losses and then gradients of each image at each timestep, about as much as so many steps.
    work: { recoverySteps: Math.ceil((examples * timesteps) / recoveryBatch) },
    async make(lab, { teacher, data }, seed) {
      const started = performance.now();
      const decision = await decideWidths(
        teacher,
        { criterion: "diff-pruning", keep: halfWidths(teacher), seed },
        {
          engine: lab.engine,
          data,
          hooks: { signal: lab.signal },
          settings: { ...settings, process: teacher.process },
        },
      );
      const model = await narrowed(teacher, decision);
      return { model, teacher, chooseSeconds: secondsSince(started) };
    },
  };
}

/** Half width by lot, for what does not depend on weights. */
export const anyHalfWidth = async (teacher: LoadedModel): Promise<LoadedModel> =>
  narrowed(teacher, await decideWidths(teacher, { criterion: "random", keep: halfWidths(teacher), seed: 0 }));

function halfWidths({ model, path }: LoadedModel): Widths {
  const { heads, channels } = widthsOf(requirePrunableModel(model, path));
  return { heads: keptOfFraction(heads, HALF_WIDTH), channels: keptOfFraction(channels, HALF_WIDTH) };
}

async function narrowed(teacher: LoadedModel, decision: WidthDecision): Promise<LoadedModel> {
  const wide = requirePrunableModel(teacher.model, teacher.path);
  const { model, weights } = prunedModel(wide, teacher.tensors, decision);
  return {
    ...teacher,
    model,
    tensors: await readWeights(weights),
    prunings: [...teacher.prunings, widthPruningOf(teacher, wide, decision)],
    sha256: "",
    path: `half width of ${teacher.path}`,
  };
}

/** Half of the blocks, recovered, and half of those again; the student of the first stage teaches the second. */
export function inTwoStages(mask: MaskCell, budget: Budget, first: RecoveryPlan): StudentSpec {
  const plan = searchPlan(budget);
  return {
    settings: { mask: mask.file, firstRecovery: first, secondSearch: plan },
    needs: [mask],
    work: { searchSteps: plan.steps, recoverySteps: first.steps },
    async make(lab, { teacher, data }, seed) {
      const half = lab.result(mask);
      // Another seed than the second recovery's: it is not to see the same noise again.
      const recovery = { ...first, seed: seed + SECOND_STAGE };
      const { model: middle, seconds } = await recover(lab, shallow(teacher, half.kept), teacher, data, recovery);
      const search = await searchMask(lab, middle, data, plan, seed + SECOND_STAGE);
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

/** Far from all seeds of studies. */
const SECOND_STAGE = 500_000;
