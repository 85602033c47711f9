/** The trial of most studies: a student is made, recovered and scored. */
import { modelCost } from "tinyfusion";
import { type StudyContext, type Trial, trialFile } from "../trials/trial.ts";
import { type BenchmarkModel, openBenchmark } from "./benchmark.ts";
import type { Budget } from "./budget.ts";
import { type Recovered, type RecoveryPlan, recover } from "./recover.ts";
import { fixedLoss, type Scores, scoreModel } from "./score-model.ts";
import type { StudentMaker } from "./students.ts";

/** The result of a recovered trial. */
export interface RecoveredResult {
  readonly blocks: number;
  /** Blocks of the teacher that are kept; absent if all are. */
  readonly kept?: readonly number[];
  readonly parameters: number;
  /** Multiply-accumulates of one evaluation of one image, without guidance. */
  readonly macs: number;
  readonly losses: {
    /** Right after pruning, on calibration examples of the seed; absent if it was not finite. */
    readonly pruned?: number;
    /** After recovery, on the same held-out examples for all. */
    readonly heldOut?: number;
  };
  /** The step whose loss was not finite, where recovery had to end. */
  readonly stoppedAt?: number;
  /** Absent if the images were not finite numbers. */
  readonly scores?: Scores;
  readonly seconds: {
    /** Choosing what to keep: a mask's own, whenever it was searched. */
    readonly choose: number;
    readonly recover: number;
    readonly sample: number;
    readonly score: number;
  };
  /** One image, all its steps with guidance. */
  readonly secondsPerImage: number;
}

export type RecoveredTrial = Trial<RecoveredResult>;

export interface RecoveredVariant {
  readonly study: string;
  readonly variant: string;
  readonly seed: number;
  readonly benchmark: BenchmarkModel;
  readonly student: StudentMaker;
  /** Absent: scored as it is. */
  readonly recovery?: RecoveryPlan;
  readonly budget: Budget;
}

/** Recovery draws other examples and noise than the search and the calibration of the same seed. */
export const RECOVERY_SEEDS = 1000;

/** Variants of one seed share the randomness of recovery and of sampling, which is what pairs them. */
export function recoveredTrial(of: RecoveredVariant): RecoveredTrial {
  const { study, variant, seed, benchmark, student, recovery, budget } = of;
  const { images, heldOut, calibration } = budget;
  const recoverySteps = (student.work.recoverySteps ?? 0) + (recovery?.steps ?? 0);
  return {
    file: trialFile(study, variant, seed),
    study,
    variant,
    seed,
    benchmark: benchmark.name,
    settings: {
      subject: benchmark.settings,
      student: student.settings,
      recovery: recovery ?? "none",
      sampling: benchmark.sampling,
      images,
      calibration,
      heldOut,
      seed,
      recoverySeed: seed + RECOVERY_SEEDS,
    },
    needs: [...benchmark.needs, ...student.needs],
    work: { ...student.work, recoverySteps, images },
    compute: (context) => compute(context, of),
  };
}

async function compute(
  context: StudyContext,
  { seed, benchmark, student: maker, recovery, budget }: RecoveredVariant,
): Promise<RecoveredResult> {
  const opened = await openBenchmark(context, benchmark);
  const student = await maker.make(context, opened, seed);
  const pruned = await fixedLoss(context, student.model, opened.data, budget.calibration, seed);
  const recovered: Recovered = recovery
    ? await recover(context, student.model, student.teacher, opened.data, { ...recovery, seed: seed + RECOVERY_SEEDS })
    : { model: student.model, seconds: 0 };
  const { model, stoppedAt } = recovered;
  const heldOut = await fixedLoss(context, model, opened.heldOut, budget.heldOut, 0);
  const { scores, ...scored } = await scoreModel(context, { benchmark, opened, model, images: budget.images, seed });
  const { parameters, macs } = modelCost(model.model);
  return {
    blocks: model.model.config.depth,
    ...(student.kept && { kept: student.kept }),
    parameters,
    macs,
    losses: { ...(pruned !== undefined && { pruned }), ...(heldOut !== undefined && { heldOut }) },
    ...(stoppedAt !== undefined && { stoppedAt }),
    ...(scores && { scores }),
    seconds: {
      choose: student.chooseSeconds,
      recover: recovered.seconds + (student.earlierRecoverySeconds ?? 0),
      sample: scored.sampleSeconds,
      score: scored.scoreSeconds,
    },
    secondsPerImage: scored.secondsPerImage,
  };
}
