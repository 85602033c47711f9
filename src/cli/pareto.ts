/** `tinyfusion pareto`: how good images are against how long they take, over depth, sampler, steps and step caching. */
import { counted } from "../report/words.ts";
import { paretoSettings } from "../tasks/pareto/grid.ts";
import { type ParetoPlan, type ParetoResult, pareto, planPareto } from "../tasks/pareto/pareto.ts";
import { cellRow } from "../tasks/pareto/report.ts";
import { command } from "./command.ts";
import { duration } from "./progress.ts";
import { tableLines } from "./table.ts";

export const paretoCommand = command({
  name: "pareto",
  summary: "Sample with every depth, sampler, number of steps and cache, and plot quality against time.",
  settings: paretoSettings,
  positional: ["file"],
  flags: { dryRun: { kind: "flag", help: "number of cells and estimated time; writes nothing" } },
  examples: [
    "tinyfusion pareto models/digits/teacher.safetensors --shallow runs/demo/shallow.safetensors --steps ddim5,ddim10,ddim25 --samplers ddim,dpm++2m --cache 0,0.1,0.2 --out runs/pareto",
    "tinyfusion pareto models/digits/sit-teacher.safetensors --samplers euler,heun --steps 5,13 --count 500 --out runs/pareto-sit --dry-run",
  ],
  stopped: "stopped; finished cells and times stay, and the same command resumes",
  run: async (settings, { dryRun }) =>
    dryRun ? planLines(await planPareto(settings)) : resultLines(await pareto(settings)),
});

function planLines({ cells, done, count, rounds, timed, kinds }: ParetoPlan): string[] {
  const total = (of: "samplingSeconds" | "timingSeconds") => duration(kinds.reduce((sum, kind) => sum + kind[of], 0));
  return [
    `${cells} cells of ${count} images, ${done} of them done; nothing is written`,
    `times: ${cells} in each of ${counted(rounds, "round")}, ${timed} of them taken`,
    ...kinds.map((kind) => {
      const [sampling, timing] = [duration(kind.samplingSeconds), duration(kind.timingSeconds)];
      return `${kind.name}: cells: ${kind.cells}, about ${sampling}; times: ${kind.times}, about ${timing}`;
    }),
    `together about ${total("samplingSeconds")} of sampling and ${total("timingSeconds")} of timing, estimated by one batch ` +
      "of each kind; compiling and scoring are not included",
  ];
}

function resultLines({ results, computed, front, files }: ParetoResult): string[] {
  const rows = results
    .toSorted((a, b) => a.secondsPerImage - b.secondsPerImage)
    .map((result) => [front.includes(result.id) ? "*" : "", ...cellRow(result, results)]);
  const { metric, seconds } = results[0]!;
  return [
    ...tableLines([["", "model", "sampling", "s an image", "least–most", "GMACs", metric], ...rows], [3, 4, 5, 6]),
    `* on the front. ${counted(computed, "cell")} computed now; times are medians of ${counted(seconds.rounds, "round")} through all cells.`,
    ...files,
  ];
}
