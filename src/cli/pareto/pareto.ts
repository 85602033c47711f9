/** `tinyfusion pareto`: how good images are against how long they take, over depth, sampler, steps and step caching. */
import { cpuEngine } from "../../engine/onnx/node-engine.ts";
import { counted } from "../../report/words.ts";
import { requireWritableFolder } from "../../storage/atomic-write.ts";
import { type CellResult, storedCell } from "../../tasks/pareto/cell.ts";
import { paretoCells } from "../../tasks/pareto/grid.ts";
import { frontOf, rangeText, writeReport } from "../../tasks/pareto/report.ts";
import { remarkedText, samplingText } from "../../tasks/pareto/sampling-text.ts";
import { runStudy, type StudyResult } from "../../tasks/pareto/study.ts";
import { timesPlan } from "../../tasks/pareto/times.ts";
import { required } from "../../tasks/settings.ts";
import { versions } from "../../tasks/version.ts";
import { type CommandContext, command, STOPPED, unlessStopped } from "../command.ts";
import { commandLine } from "../command-line.ts";
import { duration } from "../progress.ts";
import { tableLines } from "../table.ts";
import { evaluationsOf, openDepths, paretoOptions, samplingsOf } from "./axes.ts";
import { type Judge, openJudge } from "./judge.ts";
import { dryRun, type Planned, workOf } from "./plan.ts";

export const pareto = command({
  name: "pareto",
  summary: "Draw with every depth, sampler, number of steps and cache, and show quality against time.",
  argument: "<model>",
  options: paretoOptions,
  examples: [
    "tinyfusion pareto models/digits/teacher.safetensors --shallow runs/demo/shallow.safetensors --steps ddim5,ddim10,ddim25 --samplers ddim,dpm++2m --cache 0,0.1,0.2 --out runs/pareto",
    "tinyfusion pareto models/digits/sit-teacher.safetensors --samplers euler,heun --steps 5,13 --count 500 --out runs/pareto-sit --dry-run",
  ],
  async run(values, context, path) {
    const out = required("out", values.out);
    if (!values.dryRun) requireWritableFolder(out);
    const engine = cpuEngine({ threads: values.threads });
    const depths = await openDepths(values, context, path!);
    const samplings = samplingsOf(values, depths[0]!, context.note);
    const judge = await openJudge({ ...values, out }, context, depths[0]!.file, engine);
    try {
      const { seed, count, threads, rounds } = values;
      const batch = Math.max(2, values.batch);
      if (batch !== values.batch) context.note("--batch 1: images are sampled and timed two at a time");
      const { metric, facts } = judge.scorer;
      const common = { seed, count, batch, threads, judgement: { metric, facts } };
      const cells = paretoCells({ depths, samplings }, common);
      const evaluations = await evaluationsOf(cells, engine);
      const missing = cells.filter((cell) => storedCell(out, cell) === undefined);
      const planned = { out, cells, missing, times: timesPlan(out, cells, rounds), rounds, evaluations, engine };
      if (values.dryRun) return await dryRun(planned, context);
      const left = "stopped; finished cells and times stay, and the same command goes on from there";
      const study = await unlessStopped(context, () => studied(context, judge, planned), left);
      if (!study) return STOPPED;
      const command = commandLine("pareto", context);
      const files = await writeReport(study, { command, out });
      for (const line of resultLines(study)) context.print(line);
      for (const file of files) context.print(file);
      return 0;
    } finally {
      await judge.release();
    }
  },
});

/** All cells; those that are missing are computed, once the reference is known to fit, and then all are timed. */
async function studied(
  { note, progress, signal }: CommandContext,
  { scorer, ready }: Judge,
  { out, cells, missing, times, rounds, evaluations, engine }: Planned,
): Promise<StudyResult> {
  if (missing.length > 0) await ready();
  const total = cells.length * rounds;
  const drawingLeft = countdown(workOf(missing, evaluations));
  let timingLeft: ReturnType<typeof countdown> | undefined;
  const timing = () => {
    timingLeft ??= countdown(
      workOf(
        times.left.map(({ cell }) => cell),
        evaluations,
      ),
    );
    return timingLeft;
  };
  if (missing.length === 0) timing();
  return runStudy({
    ...{ engine, scorer, versions: versions(), out, cells, rounds, signal },
    onCell(cell, at, result) {
      if (!result) return;
      const done = missing.indexOf(cell) + 1;
      const left = drawingLeft(workOf(missing.slice(done), evaluations));
      note(`cell ${at + 1} of ${cells.length}: ${cellText(result)}; left ${duration(left)}, and then the times`);
      if (done === missing.length) timing();
    },
    onStartOver(why) {
      note(`the times in ${out} do not count, as ${why}; timing starts over`);
    },
    onTime({ round }, left) {
      const step = total - left.length;
      const secondsLeft = timing()(
        workOf(
          left.map(({ cell }) => cell),
          evaluations,
        ),
      );
      progress({ step, steps: total, images: step * cells[0]!.common.batch, secondsLeft, line: { round: round + 1 } });
    },
  });
}

/** From now on: the seconds that are left when so much of `work` is. */
function countdown(work: number): (left: number) => number {
  const started = performance.now();
  return (left) => ((performance.now() - started) / 1000) * (left / (work - left));
}

const cellText = (result: CellResult): string =>
  `${result.model.name}, ${samplingText(result)}: ${result.metric} ${result.score.estimate.toFixed(2)} ± ` +
  result.score.standardError.toFixed(2);

function resultLines(study: StudyResult): string[] {
  const front = frontOf(study.results);
  const rows = study.results
    .toSorted((a, b) => a.secondsPerImage - b.secondsPerImage)
    .map((result) => [
      front.includes(result.id) ? "*" : "",
      result.model.name,
      remarkedText(result, study.results),
      result.secondsPerImage.toPrecision(3),
      rangeText(result),
      (result.macsPerImage / 1e9).toPrecision(3),
      `${result.score.estimate.toFixed(2)} ± ${result.score.standardError.toFixed(2)}`,
    ]);
  const { metric, seconds } = study.results[0]!;
  return [
    ...tableLines([["", "model", "sampling", "s an image", "least–most", "GMACs", metric], ...rows], [3, 4, 5, 6]),
    `* on the front. ${counted(study.computed, "cell")} computed now; times are medians of ${counted(seconds.rounds, "round")} through all cells.`,
  ];
}
