/** `tinyfusion demo`: prune, recover and compare a digit transformer, and write a report with pictures. */
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { loadDigits } from "../../data/digits.ts";
import { type TrainingSet, trainingSet } from "../../data/training-set.ts";
import { cpuEngine } from "../../engine/onnx/node-engine.ts";
import { preset } from "../../models/presets.ts";
import { compileCalibrationLoss } from "../../pruning/calibration.ts";
import { skipScores } from "../../pruning/loss-pruners.ts";
import { removeIfEmpty, writeAtomically } from "../../storage/atomic-write.ts";
import { lockFolder } from "../../storage/lock.ts";
import { exists, readBytes } from "../../storage/read.ts";
import type { SettingTable, Values } from "../../tasks/settings.ts";
import { seedSetting, threadsSetting } from "../../tasks/shared-settings.ts";
import { loadModel } from "../../weights/model-file.ts";
import { type CommandContext, command, STOPPED } from "../command.ts";
import { duration } from "../progress.ts";
import { sideBySide } from "./pictures.ts";
import { type FamilyPlan, familyPlans, packagedPath } from "./plan.ts";
import { type DemoResults, demoReport, summary } from "./report.ts";
import { speedRatio } from "./speed.ts";
import { type Demo, recover, Stopped, sampleAndScore, search } from "./stages.ts";

const options = {
  out: { kind: "folder", help: "folder of the demo; an unfinished one is resumed [runs/demo, or runs/demo-FAMILY]" },
  quick: { kind: "flag", help: "a minute's worth of everything: all parts run, nothing gets good" },
  family: {
    kind: "choice",
    choices: Object.keys(familyPlans) as (keyof typeof familyPlans)[],
    fallback: "dit",
    help: "which packaged teacher: a diffusion transformer, a flow, or masked tokens",
  },
  teacher: { kind: "weights", help: "another digit model of that family to prune [the packaged one]" },
  seed: seedSetting,
  threads: threadsSetting,
} as const satisfies SettingTable;

export const demo = command({
  name: "demo",
  summary: "Learn which half of a digit model's layers to keep, recover, draw digits, and report.",
  options,
  examples: [
    "tinyfusion demo",
    "tinyfusion demo --family sit",
    "tinyfusion demo --seed 1 --out runs/demo-1",
    "tinyfusion demo --quick --out runs/quick",
  ],
  async run(values, context) {
    const { out = values.family === "dit" ? "runs/demo" : `runs/demo-${values.family}` } = values;
    const page = join(out, "report.html");
    const unlock = lockFolder(out);
    try {
      if (exists(page)) {
        context.print(`${page} is there already. To start over, delete ${out} or choose another --out.`);
        return 0;
      }
      const results = await runDemo({ ...values, out }, context);
      const { teacher, before, after } = results;
      const grids = [teacher, before, after].map(({ sampled }) => sampled.images);
      await writeAtomically(join(out, "grids.png"), sideBySide(grids));
      await writeAtomically(page, demoReport(results));
      context.print(summary(results));
      context.print(`report: ${page}`);
      return 0;
    } catch (error) {
      if (!(error instanceof Stopped)) throw error;
      context.print(`stopped; the same command goes on from here`);
      return STOPPED;
    } finally {
      unlock();
      removeIfEmpty(out);
    }
  },
});

async function runDemo(
  values: Values<typeof options> & { readonly out: string },
  context: CommandContext,
): Promise<DemoResults> {
  const started = performance.now();
  const { out, seed, threads, family } = values;
  const plan: FamilyPlan = familyPlans[family];
  const size = values.quick ? plan.quick : plan.full;
  const teacherPath = values.teacher ?? packagedPath(plan.teacher);
  const teacher = await loadModel(teacherPath, values.teacher === undefined ? preset(plan.preset) : undefined);
  if (teacher.model.family.name !== family) {
    throw new InputError(
      `${teacherPath} is a ${teacher.model.family.name}; give --family ${teacher.model.family.name}`,
    );
  }
  const { train, heldOut } = loadDigits();
  const engine = cpuEngine({ threads });
  const demo: Demo = { out, plan, size, seed, engine, threads, teacher, data: trainingSet(train, 10), context };

  context.note(`1 of 3: learning which blocks of ${teacher.model.config.depth} to keep`);
  const searched = await search(demo);
  context.note(`2 of 3: recovering the ${searched.value.kept.length} kept blocks with masked distillation`);
  const pruned = await loadModel(searched.pruned);
  const recovered = await recover(demo, pruned);
  await writeAtomically(join(out, "shallow.safetensors"), readBytes(recovered.value.emaPath));
  context.note("3 of 3: drawing digits with the teacher, before and after recovery");
  const names = { teacher: "teacher", before: "pruned", after: "recovered" };
  const files = { teacher, before: pruned, after: recovered.value.ema };
  const sampled = {
    teacher: await sampleAndScore(demo, "teacher", files.teacher),
    before: await sampleAndScore(demo, "before", files.before),
    after: await sampleAndScore(demo, "after", files.after),
  };
  const judged = (key: keyof typeof files) => ({ name: names[key], file: files[key], sampled: sampled[key].value });
  const checks = await calibrate(demo, trainingSet(heldOut, 10), recovered.value);
  const speedup = await speedRatio(demo, files.teacher, files.after);
  const samplings = Object.values(sampled);
  const sampling = samplings.reduce((sum, { seconds }) => sum + seconds, 0);
  const inStages = [searched, recovered, ...samplings].reduce((sum, { secondsHere }) => sum + secondsHere, 0);
  const total = (performance.now() - started) / 1000;
  context.note(`done in ${duration(total)}`);
  return {
    plan,
    size,
    seed,
    threads,
    out,
    teacherPath: values.teacher ?? `models/digits/${plan.teacher}`,
    teacher: judged("teacher"),
    before: judged("before"),
    after: judged("after"),
    decision: searched.value,
    searchMetrics: searched.metrics,
    recoveryMetrics: recovered.metrics,
    ...checks,
    speedup,
    // The rest is this process's own: of a resumed demo, its last piece.
    seconds: { search: searched.seconds, recovery: recovered.seconds, sampling, rest: total - inStages },
  };
}

/** Losses on held-out digits: averaged against raw weights, and each of the teacher's blocks skipped alone. */
async function calibrate(
  { engine, size, seed, teacher }: Demo,
  data: TrainingSet,
  { ema, raw }: { ema: typeof teacher; raw: typeof teacher },
) {
  const examples = size.calibrationExamples;
  const { process } = teacher;
  const ofStudent = await compileCalibrationLoss(engine, ema.model, data, { seed, examples: 2 * examples, process });
  const ofTeacher = await compileCalibrationLoss(engine, teacher.model, data, { seed, examples, process });
  try {
    const fixedLoss = {
      ema: await ofStudent.loss(ema.tensors),
      raw: await ofStudent.loss(raw.tensors),
      teacher: await ofTeacher.loss(teacher.tensors),
      examples: 2 * examples,
    };
    const { scores: skipLosses } = await skipScores(teacher.model.config.depth, (kept) =>
      ofTeacher.loss(teacher.tensors, kept),
    );
    return { fixedLoss, skipLosses };
  } finally {
    await Promise.all([ofStudent.release(), ofTeacher.release()]);
  }
}
