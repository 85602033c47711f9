/** Chooses which blocks of a model to keep, by learning or in another way, and writes the shallow model. */
import { openNamedModel } from "../model-settings.ts";
import { required } from "../settings.ts";
import { withFittingLabels } from "../shared-settings.ts";
import { startTask, type TaskSettings } from "../task.ts";
import { planOf, type TrainingPlan } from "../training-plan.ts";
import { runTraining, type TrainingResult } from "../training-run.ts";
import { learningJob } from "./prune-learned.ts";
import { type ChoicePlan, planScored, pruneScored } from "./prune-scored.ts";
import { checkTogether, methodOf, pruneSettings } from "./prune-settings.ts";
import type { PrunedResult } from "./pruned-files.ts";

/** Learning is planned as training, all other methods as passes over a calibration set. */
export type PrunePlan =
  | { readonly learning: TrainingPlan; readonly choice?: undefined }
  | { readonly choice: ChoicePlan; readonly learning?: undefined };

type Settings = TaskSettings<typeof pruneSettings>;

/**
 * Chooses blocks of the teacher `file` by `method` and writes `decision.json` and `pruned.safetensors` to `out`. The
 * method `learned` (TinyFusion, arXiv 2412.01199) is a run that resumes when it is called again with the same settings.
 * @throws SettingError, InputError for settings, a model, data or a folder that do not fit; the signal's reason.
 */
export async function prune(settings: Settings): Promise<TrainingResult<PrunedResult>> {
  const { method, file, values, context } = await openTeacher(settings);
  if (method !== "learned")
    return { finished: true, step: 0, ...(await pruneScored({ method, file, values, context })) };
  return runTraining(await learningJob(file, withFittingLabels(values, file.model, context), context, true));
}

/** What `prune` would choose, do, cost and take; writes nothing. */
export async function planPrune(settings: Settings): Promise<PrunePlan> {
  const { method, file, values, context } = await openTeacher(settings);
  if (method !== "learned") return { choice: await planScored({ method, file, values, context }) };
  const job = await learningJob(file, withFittingLabels(values, file.model, context), context, false);
  return { learning: await planOf(job) };
}

async function openTeacher(settings: Settings) {
  const { values, context } = await startTask(pruneSettings, settings);
  const method = methodOf(values, context.given);
  checkTogether(method, values, context.given);
  const file = await openNamedModel(required("file", values.file), values, context.note);
  return { method, file, values, context };
}
