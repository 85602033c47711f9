/** The cell of most studies: a student is made, recovered and judged. */
import { modelCost } from "tinyfusion";
import { type Cell, cellFile, type Lab } from "../trials/trial.ts";
import type { SubjectSpec } from "./benchmark.ts";
import type { Budget } from "./budget.ts";
import { fixedLoss, judge, type Scores } from "./judge.ts";
import { type Recovered, type RecoveryPlan, recover } from "./recover.ts";
import type { StudentSpec } from "./students.ts";

/** The content of its file. */
export interface RecoveredResult {
  readonly blocks: number;
  /** Blocks of the teacher; absent where all stayed. */
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

export type RecoveredCell = Cell<RecoveredResult>;

export interface RecoveredArm {
  readonly study: string;
  readonly arm: string;
  readonly seed: number;
  readonly spec: SubjectSpec;
  readonly student: StudentSpec;
  /** Absent: judged as it is. */
  readonly recovery?: RecoveryPlan;
  readonly budget: Budget;
}

/** Recovery draws other examples and noise than the search and the calibration of the same seed. */
export const RECOVERY_SEEDS = 1000;

/** Arms of one seed share the randomness of recovery and of sampling, which is what pairs them. */
export function recoveredCell(of: RecoveredArm): RecoveredCell {
  const { study, arm, seed, spec, student, recovery, budget } = of;
  const { images, heldOut, calibration } = budget;
  const recoverySteps = (student.work.recoverySteps ?? 0) + (recovery?.steps ?? 0);
  return {
    file: cellFile(study, arm, seed),
    study,
    arm,
    seed,
    subject: spec.name,
    settings: {
      subject: spec.settings,
      student: student.settings,
      recovery: recovery ?? "none",
      sampling: spec.sampling,
      images,
      calibration,
      heldOut,
      seed,
      recoverySeed: seed + RECOVERY_SEEDS,
    },
    needs: [...spec.needs, ...student.needs],
    work: { ...student.work, recoverySteps, images },
    compute: (lab) => compute(lab, of),
  };
}

async function compute(
  lab: Lab,
  { seed, spec, student: how, recovery, budget }: RecoveredArm,
): Promise<RecoveredResult> {
  const subject = await lab.subject(spec);
  const student = await how.make(lab, subject, seed);
  const pruned = await fixedLoss(lab, student.model, subject.data, budget.calibration, seed);
  const recovered: Recovered = recovery
    ? await recover(lab, student.model, student.teacher, subject.data, { ...recovery, seed: seed + RECOVERY_SEEDS })
    : { model: student.model, seconds: 0 };
  const { model, stoppedAt } = recovered;
  const heldOut = await fixedLoss(lab, model, subject.heldOut, budget.heldOut, 0);
  const { scores, ...judged } = await judge(lab, { spec, subject, model, images: budget.images, seed });
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
      sample: judged.sampleSeconds,
      score: judged.scoreSeconds,
    },
    secondsPerImage: judged.secondsPerImage,
  };
}
