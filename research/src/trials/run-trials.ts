/** Computes the trials of a study that are missing, each on disk before the next begins. */
import type { Results } from "./results.ts";
import { type StudyContext, secondsSince, type Trial, withNeeds } from "./trial.ts";
import { lockTrial, untilNextCheck } from "./trial-lock.ts";

/** Progress of a run. */
export interface RunState {
  readonly done: number;
  readonly of: number;
  /** By the times of trials that are done; NaN while there are none. */
  readonly secondsLeft: number;
}

export interface RunRequest {
  readonly context: StudyContext;
  readonly results: Results;
  /** The trials that are wanted, in order; asked again after each trial, since results may decide what comes next. */
  readonly trials: () => readonly Trial[];
  /** Called before a trial is computed, and after it with its seconds. */
  readonly onTrial?: (trial: Trial, state: RunState, seconds?: number) => void;
}

/**
 * Continues where an earlier run was stopped; a stop loses the trial being computed. Several processes may run the same trials
 * at once, on one disk: each takes one that no other has. Returns how many trials this process computed.
 * @throws InputError if a trial is there with other settings; the reason of the context's signal if it is aborted.
 */
export async function runTrials({ context, results, trials, onTrial }: RunRequest): Promise<number> {
  const { signal, note, work } = context.settings;
  for (let computed = 0, waiting = false; ; ) {
    const all = withNeeds(trials());
    const missing = all.filter((trial) => results.find(trial) === undefined);
    if (missing.length === 0) return computed;
    signal.throwIfAborted();
    const taken = takeFirst(work, results, missing);
    if (!taken) {
      if (!waiting)
        note(
          "the remaining trials are being computed by other processes, need those, or are timed after them; waiting …",
        );
      waiting = true;
      await untilNextCheck(signal);
      continue;
    }
    waiting = false;
    const { trial, release } = taken;
    try {
      onTrial?.(trial, stateOf(results, all, missing));
      const seconds = await computeTrial(context, results, trial);
      const left = missing.filter((one) => one !== trial);
      onTrial?.(trial, stateOf(results, all, left), seconds);
      computed++;
    } finally {
      release();
    }
  }
}

/** The first trial whose needs are all there, and that may be taken; undefined if there is none. */
function takeFirst(
  work: string,
  results: Results,
  missing: readonly Trial[],
): { trial: Trial; release: () => void } | undefined {
  for (const trial of missing) {
    if (!trial.needs.every((need) => results.find(need) !== undefined)) continue;
    const release = lockTrial(work, trial);
    if (!release) continue;
    if (results.find(trial) === undefined) return { trial, release };
    release(); // another process has finished it meanwhile
  }
  return undefined;
}

/** Computes and writes a trial; returns its seconds. */
async function computeTrial(context: StudyContext, results: Results, trial: Trial): Promise<number> {
  const { signal, threads, versions } = context.settings;
  results.tidy(trial);
  const started = performance.now();
  const result = await trial.compute(context);
  signal.throwIfAborted();
  const seconds = secondsSince(started);
  await results.write(trial, result, { seconds, threads, versions });
  return seconds;
}

function stateOf(results: Results, all: readonly Trial[], missing: readonly Trial[]): RunState {
  return { done: all.length - missing.length, of: all.length, secondsLeft: secondsLeft(results, all, missing) };
}

/** Trials whose work has the same parts. */
const kindOf = ({ benchmark, work }: Trial): string =>
  `${benchmark} ${work.searchSteps ?? 0} ${work.passes ?? 0} ${work.recoverySteps ?? 0} ${work.images ?? 0}`;

/** Each missing trial is expected to take the mean time of its kind, or of all kinds. */
function secondsLeft(results: Results, all: readonly Trial[], missing: readonly Trial[]): number {
  const byKind = new Map<string, number[]>();
  for (const trial of all) {
    const stored = results.find(trial);
    if (stored) byKind.set(kindOf(trial), [...(byKind.get(kindOf(trial)) ?? []), stored.seconds]);
  }
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const overall = mean([...byKind.values()].flat());
  return missing.reduce(
    (sum, trial) => sum + (byKind.has(kindOf(trial)) ? mean(byKind.get(kindOf(trial))!) : overall),
    0,
  );
}
