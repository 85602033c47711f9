/** `tinyfusion demo`: prune, recover and compare a digit transformer, and write a report with what came out. */
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { loadDigits } from "../../data/digits.ts";
import { trainingSet } from "../../data/training-set.ts";
import type { Engine } from "../../engine/engine.ts";
import { compileCalibrationLoss } from "../../pruning/calibration.ts";
import { skipScores } from "../../pruning/loss-pruners.ts";
import { removeIfEmpty, writeAtomically } from "../../storage/atomic-write.ts";
import { lockFolder } from "../../storage/lock.ts";
import { exists, readBytes } from "../../storage/read.ts";
import { benchModel } from "../../tasks/bench-model.ts";
import { finetune } from "../../tasks/finetune.ts";
import { prune } from "../../tasks/prune/prune.ts";
import { sample } from "../../tasks/sample.ts";
import type { SettingTable, Values } from "../../tasks/settings.ts";
import { engineSettings, seedSetting } from "../../tasks/shared-settings.ts";
import { startTask, type TaskContext } from "../../tasks/task.ts";
import { type LoadedModel, loadModel } from "../../weights/model-file.ts";
import { command } from "../command.ts";
import { duration } from "../progress.ts";
import { familyPlans, packagedPath, recoverySettings, searchSettings, sizeOf } from "./plan.ts";
import { type DemoModel, type DemoResults, demoReport, metricsIn, sideBySide, summary } from "./report.ts";

const demoSettings = {
  out: { kind: "folder", help: "folder of the demo; an unfinished one is resumed [runs/demo, or runs/demo-FAMILY]" },
  quick: { kind: "flag", help: "all parts in about a minute, without good results" },
  family: {
    kind: "choice",
    choices: Object.keys(familyPlans) as (keyof typeof familyPlans)[],
    fallback: "dit",
    help: "packaged teacher: DiT, SiT (flow) or MAR (masked tokens)",
  },
  teacher: { kind: "weights", help: "another digit model of that family to prune [the packaged one]" },
  seed: seedSetting,
  ...engineSettings,
} as const satisfies SettingTable;

export const demo = command({
  name: "demo",
  summary: "Learn which half of a digit model's layers to keep, recover, draw digits, and report.",
  settings: demoSettings,
  examples: [
    "tinyfusion demo",
    "tinyfusion demo --family sit",
    "tinyfusion demo --seed 1 --out runs/demo-1",
    "tinyfusion demo --quick --out runs/quick",
  ],
  stopped: "stopped; the same command resumes",
  async run(settings) {
    const { values, context } = await startTask(demoSettings, settings);
    const { out = values.family === "dit" ? "runs/demo" : `runs/demo-${values.family}` } = values;
    const page = join(out, "report.html");
    const unlock = lockFolder(out);
    try {
      if (exists(page)) return [`${page} is there already. To start over, delete ${out} or choose another \`out\`.`];
      const results = await runDemo({ ...values, out }, context);
      await writeAtomically(join(out, "grids.png"), sideBySide(results.models));
      await writeAtomically(page, demoReport(results));
      return [summary(results), `report: ${page}`];
    } finally {
      unlock();
      removeIfEmpty(out);
    }
  },
});

/** All tasks in turn; each finds what an earlier demo has finished. */
async function runDemo(
  { out, quick, family, teacher: given, seed, threads, device }: Values<typeof demoSettings> & { readonly out: string },
  { note, signal, progress, engine: openEngine }: TaskContext,
): Promise<DemoResults> {
  const started = performance.now();
  const plan = familyPlans[family];
  const size = sizeOf(plan, quick);
  const path = given ?? packagedPath(plan.teacher);
  const teacher = await loadModel(path);
  const { name } = teacher.model.family;
  if (name !== family) throw new InputError(`${path} is a ${name}; give \`family\` ${name}`);
  const engine = openEngine();
  const shared = { seed, threads, device, signal, onNote: note, onProgress: progress };

  note(`1 of 3: learning which blocks of ${teacher.model.config.depth} to keep`);
  const search = join(out, "search");
  const [searched, searchHere] = await timed(prune({ file: path, out: search, ...searchSettings(size), ...shared }));
  if (!searched.finished) throw signal.reason;

  const { kept, depth } = searched.decision;
  note(`  keeps ${Array.from({ length: depth }, (_, i) => (kept.includes(i) ? "█" : "·")).join("")}`);
  note(`2 of 3: recovering the ${kept.length} kept blocks with masked distillation`);
  const recovery = { student: searched.pruned, teacher: path, out: join(out, "recovery") };
  const [recovered, recoveryHere] = await timed(finetune({ ...recovery, ...recoverySettings(size, plan), ...shared }));
  if (!recovered.finished) throw signal.reason;
  const shallow = join(out, "shallow.safetensors");
  await writeAtomically(shallow, readBytes(recovered.ema));

  note("3 of 3: sampling digits with the teacher, before and after recovery");
  const models: DemoModel[] = [];
  for (const [name, file] of Object.entries({ teacher: path, pruned: searched.pruned, recovered: shallow })) {
    note(`sampling ${size.images} digits: ${name}`);
    const settings = { file, count: size.images, evaluate: true, out: join(out, "samples", name) };
    models.push({
      name,
      file: await loadModel(file),
      sampled: await sample({ ...settings, ...size.sampling, ...shared }),
    });
  }
  const files = { teacher, ema: models[2]!.file, raw: await loadModel(recovered.weights) };
  const losses = await heldOutLosses(engine, files, size.calibrationExamples, seed);
  const pair = { file: shallow, against: path, batches: "32", ...plan.quickSampling };
  const { ratios } = await benchModel({ ...pair, ...shared, onNote: undefined });
  const metrics = { search: metricsIn(search), recovery: metricsIn(recovery.out) };
  const sampling = models.reduce((sum, { sampled }) => sum + sampled.seconds, 0);
  const total = (performance.now() - started) / 1000;
  note(`done in ${duration(total)}`);
  return {
    plan,
    size,
    seed,
    threads,
    out,
    teacherPath: given ?? `models/digits/${plan.teacher}`,
    models,
    decision: searched.decision,
    pruned: searched.pruned,
    metrics,
    ...losses,
    speedup: ratios![0]!.ratio,
    seconds: {
      search: Number(metrics.search.at(-1)?.seconds), // over all resumes; the rest is that of the last process
      recovery: Number(metrics.recovery.at(-1)?.seconds),
      sampling,
      rest: total - sampling - searchHere - recoveryHere,
    },
  };
}

/** What work gives, and the seconds until then. */
async function timed<T>(work: Promise<T>): Promise<readonly [T, number]> {
  const from = performance.now();
  return [await work, (performance.now() - from) / 1000];
}

/** Losses on held-out digits: of averaged and raw weights and of the teacher, and of the teacher without each block. */
async function heldOutLosses(
  engine: Engine,
  { teacher, ema, raw }: Readonly<Record<"teacher" | "ema" | "raw", LoadedModel>>,
  examples: number,
  seed: number,
) {
  const data = trainingSet(loadDigits().heldOut, 10);
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
    const loss = (kept: readonly number[]) => ofTeacher.loss(teacher.tensors, kept);
    return { fixedLoss, skipLosses: (await skipScores(teacher.model.config.depth, loss)).scores };
  } finally {
    await Promise.all([ofStudent.release(), ofTeacher.release()]);
  }
}
