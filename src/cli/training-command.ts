/** Lines of commands that train: of a plan, or of a run that was stopped. */
import { type TrainingPlan, totalOf } from "../tasks/training-plan.ts";
import type { TrainingResult } from "../tasks/training-run.ts";
import { Stopped } from "./command.ts";
import { duration } from "./progress.ts";
import { bytesText, grouped, tableLines } from "./table.ts";

/** The result of a run that was not stopped. @throws Stopped */
export function finished<R extends object>(result: TrainingResult<R>): R {
  if (!result.finished) throw new Stopped(`stopped at step ${result.step}; the same command resumes`);
  return result;
}

export const memoryText = (): string => `peak memory ${bytesText(process.resourceUsage().maxRSS * 1024)}`;

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
