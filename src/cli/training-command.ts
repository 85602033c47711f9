/** Commands that train: to the end, to the first Ctrl-C, or as a plan with `--dry-run`. */
import type { SettingTable } from "../tasks/settings.ts";
import type { TaskHooks } from "../tasks/task.ts";
import { type TrainingPlan, totalOf } from "../tasks/training-plan.ts";
import type { TrainingResult } from "../tasks/training-run.ts";
import { type CommandContext, STOPPED, taskSettings } from "./command.ts";
import { duration } from "./progress.ts";
import { bytesText, grouped, tableLines } from "./table.ts";

export const dryRunOption = {
  dryRun: { kind: "flag", help: "plan and cost only; nothing is written" },
} as const satisfies SettingTable;

interface TrainingCommand<S extends object, R extends object> {
  readonly name: string;
  readonly run: (settings: S & TaskHooks) => Promise<TrainingResult<R>>;
  readonly plan: (settings: S & TaskHooks) => Promise<TrainingPlan>;
  /** Lines about the result. */
  readonly lines: (result: R) => readonly string[];
}

/** The `run` of a command that trains. `positional` are settings that the command line has as arguments. */
export async function runTrainingCommand<S extends object, R extends object>(
  { name, run, plan, lines }: TrainingCommand<S, R>,
  { dryRun, ...values }: { readonly dryRun: boolean },
  context: CommandContext,
  positional: object = {},
): Promise<number> {
  const settings = taskSettings(name, values, context, positional) as unknown as S & TaskHooks;
  if (dryRun) {
    for (const line of planLines(name, await plan(settings))) context.print(line);
    return 0;
  }
  const { code, lines: result } = trainingLines(await run(settings), lines);
  for (const line of result) context.print(line);
  if (code === 0) context.note(`peak memory ${bytesText(process.resourceUsage().maxRSS * 1024)}`);
  return code;
}

/** Lines about a run and the exit code. */
export function trainingLines<R extends object>(
  result: TrainingResult<R>,
  lines: (result: R) => readonly string[],
): { readonly code: number; readonly lines: readonly string[] } {
  if (result.finished) return { code: 0, lines: lines(result) };
  return { code: STOPPED, lines: [`stopped at step ${result.step}; the same command resumes`] };
}

/** The plan of a run. */
export function planLines(name: string, plan: TrainingPlan): string[] {
  const { out, steps, batchSize, examples, extension, microBatches, microBatch, memory, flops, time } = plan;
  const images = steps * batchSize;
  const passes = Number((images / examples).toPrecision(3));
  const folder = plan.resumes ? `${out} (holds a run, which would be resumed if its settings match)` : out;
  const settings = Object.entries(plan.settings).filter(([, value]) => value !== undefined && value !== false);
  const bytes = Object.entries(memory).filter(([, size]) => size > 0);
  const measured = `${time.measured} steps measured now, ${time.secondsPerStep.toPrecision(3)} s a step`;
  const rows: (readonly [string, string])[] = [
    ["folder", folder ?? "none given; a run needs --out"],
    [
      "steps",
      `${grouped(steps)} of ${batchSize} images: ${grouped(images)} images seen, ${passes} passes over ${grouped(examples)}`,
    ],
    ...(extension === undefined ? [] : [["extension", extension] as const]),
    ["micro-batches", `${microBatches} of ${microBatch} images a step`],
    ...plan.rows,
    ["trained", `${grouped(plan.trained)} parameters`],
    ["settings", settings.map(([key, value]) => `${key} ${value}`).join(", ")],
    [
      "memory",
      `about ${bytesText(totalOf(memory))}: ${bytes.map(([what, size]) => `${what} ${bytesText(size)}`).join(", ")}`,
    ],
    ["arithmetic", `${(flops * 1e-9).toPrecision(3)} GFLOP a step in matrix products`],
    ["time", `about ${duration(time.secondsPerStep * steps)}: ${time.assumed ?? measured}`],
  ];
  return [`${name}: the plan; nothing is written`, ...tableLines(rows).map((line) => `  ${line}`)];
}
