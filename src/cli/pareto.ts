/** `tinyfusion pareto`: how good images are against how long they take, over depth, sampler, steps and step caching. */
import { cpuEngine } from "../onnx/node-engine.ts";
import type { Engine } from "../onnx/session.ts";
import { type CellResult, storedCell } from "../studies/pareto/cell.ts";
import { type Cell, paretoCells } from "../studies/pareto/grid.ts";
import { frontOf, isRepetition, rangeText, samplingText, writeReport } from "../studies/pareto/report.ts";
import { runStudy, type StudyResult, secondsOf } from "../studies/pareto/study.ts";
import { type CommandContext, command, STOPPED } from "./command.ts";
import { commandLine } from "./evaluate/command-line.ts";
import { required } from "./option.ts";
import { evaluationsOf, openDepths, type ParetoValues, paretoOptions, samplingsOf } from "./pareto-axes.ts";
import { type Judge, openJudge } from "./pareto-judge.ts";
import { duration } from "./progress.ts";
import { tableLines } from "./table.ts";
import { versions } from "./version.ts";

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
    const engine = cpuEngine({ threads: values.threads });
    const depths = await openDepths(values, context, path!);
    const samplings = samplingsOf(values, depths[0]!);
    const judge = await openJudge({ ...values, out }, context, depths[0]!.file, engine);
    try {
      const { seed, count, batch, threads } = values;
      const { metric, facts } = judge.scorer;
      const common = { seed, count, batch, threads, judgement: { metric, facts } };
      const cells = paretoCells({ depths, samplings }, common);
      const evaluations = await evaluationsOf(cells, engine);
      const missing = cells.filter((cell) => storedCell(out, cell) === undefined);
      const planned = { cells, missing, evaluations, engine };
      if (values.dryRun) return await dryRun(values, context, planned);
      const study = await studied(out, values.rounds, context, judge, planned);
      const command = commandLine("pareto", path!, values, context.given);
      const files = await writeReport(study, { command, out });
      for (const line of resultLines(study)) context.print(line);
      for (const file of files) context.print(file);
      return 0;
    } catch (error) {
      if (!context.signal.aborted) throw error;
      context.note("stopped; finished cells stay, and the same command goes on from there");
      return STOPPED;
    } finally {
      await judge.release();
    }
  },
});

/** All cells; those that are missing are computed, once the reference is known to fit. */
async function studied(
  out: string,
  rounds: number,
  { note, progress, signal }: CommandContext,
  { scorer, ready }: Judge,
  { cells, missing, evaluations, engine }: Planned,
): Promise<StudyResult> {
  if (missing.length > 0) await ready();
  const started = performance.now();
  let timing: number | undefined;
  return runStudy({
    ...{ engine, scorer, versions: versions(), out, cells, rounds, signal },
    onTime(done, of) {
      timing ??= performance.now();
      const secondsLeft = ((performance.now() - timing) / 1000 / Math.max(1, done - 1)) * (of - done);
      if (process.stderr.isTTY || done % cells.length === 0) {
        progress({ step: done, steps: of, images: done * cells[0]!.common.batch, secondsLeft, line: {} });
      }
    },
    onCell(cell, at, result) {
      if (!result) return;
      const done = missing.indexOf(cell) + 1;
      const share = workOf(missing.slice(0, done), evaluations) / workOf(missing, evaluations);
      const left = ((performance.now() - started) / 1000) * (1 / share - 1);
      note(`cell ${at + 1} of ${cells.length}: ${cellText(result)}; left ${duration(left)}`);
    },
  });
}

const blocksOf = ({ depth: { file, kept } }: Cell): number => kept?.length ?? file.model.config.depth;

/** About proportional to the time that cells take. */
const workOf = (cells: readonly Cell[], evaluations: ReadonlyMap<Cell, number>): number =>
  cells.reduce((sum, cell) => sum + evaluations.get(cell)! * (blocksOf(cell) + 1), 0);

/** Cells whose evaluations take about the same time. */
const kindOf = ({ depth, sampling: { cache } }: Cell): string =>
  `${depth.name}${cache === undefined ? "" : `, cache ${cache}`}`;

interface Planned {
  readonly cells: readonly Cell[];
  readonly missing: readonly Cell[];
  readonly evaluations: ReadonlyMap<Cell, number>;
  readonly engine: Engine;
}

async function dryRun({ count, batch }: ParetoValues, context: CommandContext, planned: Planned): Promise<number> {
  const { cells, missing, evaluations, engine } = planned;
  context.print(
    `${cells.length} cells of ${count} images, ${cells.length - missing.length} of them done; nothing is written`,
  );
  const images = Math.ceil(count / batch) * batch;
  let seconds = 0;
  for (const kind of new Set(missing.map(kindOf))) {
    const own = missing.filter((cell) => kindOf(cell) === kind);
    const pilot = own.reduce((a, b) => (evaluations.get(b)! < evaluations.get(a)! ? b : a));
    context.note(`pilot: a batch of ${batch}, ${kind}, ${evaluations.get(pilot)} evaluations …`);
    const each = (await secondsOf(engine, pilot, 1, context.signal)) / evaluations.get(pilot)!;
    const total = own.reduce((sum, cell) => sum + evaluations.get(cell)! * each * images, 0);
    context.print(`${kind}: ${own.length} cells, about ${duration(total)}`);
    seconds += total;
  }
  context.print(`together about ${duration(seconds)} of drawing, by pilots of one batch; scoring comes on top`);
  return 0;
}

const cellText = (result: CellResult): string =>
  `${result.model.name}, ${samplingText(result)}: ${result.metric} ${result.score.estimate.toFixed(2)} ± ` +
  `${result.score.standardError.toFixed(2)}, ${result.secondsPerImage.toPrecision(3)} s an image`;

function resultLines(study: StudyResult): string[] {
  const front = frontOf(study.results);
  const rows = study.results
    .toSorted((a, b) => a.secondsPerImage - b.secondsPerImage)
    .map((result) => [
      front.includes(result.id) ? "*" : "",
      result.model.name,
      `${samplingText(result)}${isRepetition(result) ? " (saves nothing)" : ""}`,
      result.secondsPerImage.toPrecision(3),
      rangeText(result),
      (result.macsPerImage / 1e9).toPrecision(3),
      `${result.score.estimate.toFixed(2)} ± ${result.score.standardError.toFixed(2)}`,
    ]);
  const { metric, seconds } = study.results[0]!;
  return [
    ...tableLines([["", "model", "sampling", "s an image", "least–most", "GMACs", metric], ...rows], [3, 4, 5, 6]),
    `* on the front. ${study.computed} cells computed now; times are medians of ${seconds.rounds} rounds through all cells`,
  ];
}
