/** `study`: comparisons of many runs, trial by trial, and reports of what they found. */
import { type Command, CommanderError } from "commander";
import { counted, InputError, openDevice, packageVersions, requireWritableFolder } from "tinyfusion";
import { printPlan } from "./cost-estimate.ts";
import { chosenTrials, requireSome, type StudyValues, studiesNamed, studyCommand, UsageError } from "./options.ts";
import { type Budget, budgets } from "./pipeline/budget.ts";
import { doneText, type ReportRequest, writeJoined, writeStudy } from "./report/write-report.ts";
import { studiesOf } from "./studies/studies.ts";
import { countDone, type Study } from "./studies/study.ts";
import { duration, type Terminal } from "./terminal.ts";
import { Results } from "./trials/results.ts";
import { runTrials } from "./trials/run-trials.ts";
import { type Find, StudyContext, type Trial, withNeeds } from "./trials/trial.ts";

const STOPPED = 130;

/** Runs one command line (without the program's name); returns the exit code. */
export async function runStudy(argv: readonly string[], terminal: Terminal): Promise<number> {
  const line = studyCommand()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.print(text.trimEnd()),
      outputError: (text) => terminal.note(text.trimEnd()),
    });
  try {
    line.parse(argv, { from: "user" });
    return await study(line.args[0]!, line.opts<StudyValues>(), isGiven(line), terminal);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (terminal.signal.aborted && error === terminal.signal.reason) return STOPPED;
    if (!(error instanceof InputError || error instanceof UsageError)) throw error;
    terminal.note(`study: ${error.message}`);
    return error instanceof UsageError ? 2 : 1;
  }
}

type Given = (name: keyof StudyValues) => boolean;

const isGiven =
  (line: Command): Given =>
  (name) =>
    line.getOptionValueSource(name) === "cli";

async function study(name: string, values: StudyValues, given: Given, terminal: Terminal): Promise<number> {
  if (values.tiny && !given("out")) {
    throw new UsageError(
      "--tiny expects an --out of its own: its trials must not be mixed with those of the full budget",
    );
  }
  const budget: Budget = values.tiny ? budgets.tiny : budgets.full;
  const studies = studiesOf({ budget, fashion: values.data });
  if (!values.dryRun) for (const folder of [values.out, values.work]) requireWritableFolder(folder);
  const results = new Results(values.out);
  const find = results.result;
  const request = { results, command: (of: string) => commandLine(of, values, given) };
  if (name === "report") {
    refuseIgnored(given, "study report", ["only", "seeds", "dryRun"], "it renders all that is there");
    for (const one of studies) {
      const trials = countDone(one, find);
      terminal.print(`${one.name}: ${doneText(trials)}`);
      if (trials.done > 0) await writeStudy(one, request);
    }
    for (const path of await writeJoined(studies, request)) terminal.print(path);
    return 0;
  }
  const chosen = studiesNamed(name, studies);
  if (name === "all") refuseIgnored(given, "study all", ["only"], "each study has variants of its own");
  if (values.report) {
    refuseIgnored(given, "--report", ["only", "seeds", "dryRun"], "it renders all that is there");
  } else {
    const context = contextOf(values, find, terminal);
    const trials = () => chosen.flatMap((one) => chosenTrials(one, values, find));
    requireSome(trials(), name, values);
    if (values.dryRun) return printPlan({ context, name, trials: trials(), budget, find, terminal });
    if (!(await ran(context, results, trials, terminal))) return STOPPED;
  }
  for (const one of chosen) for (const text of await reported(one, request)) terminal.print(text);
  return 0;
}

/** @throws UsageError for the first of `ignored` that was given beside `by`, which makes it mean nothing. */
function refuseIgnored(given: Given, by: string, ignored: readonly (keyof StudyValues)[], why: string): void {
  const found = ignored.find(given);
  if (found !== undefined) throw new UsageError(`${by} and ${flagOf(found)} exclude each other: ${why}`);
}

const flagOf = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

function contextOf(values: StudyValues, find: Find, { signal, note }: Terminal): StudyContext {
  const { threads, work } = values;
  return new StudyContext({
    engine: openDevice("cpu", { threads }),
    threads,
    find,
    work,
    versions: packageVersions(),
    signal,
    note,
  });
}

/** Computes the missing trials; false, with a note, if it was stopped. */
async function ran(
  context: StudyContext,
  results: Results,
  trials: () => Trial[],
  { note, signal }: Terminal,
): Promise<boolean> {
  const work = () =>
    runTrials({
      context,
      results,
      trials,
      onTrial(trial, { done, of, secondsLeft }, seconds) {
        const left = Number.isFinite(secondsLeft) ? `; left ${duration(secondsLeft)}` : "";
        if (seconds === undefined)
          note(`trial ${done + 1} of ${of}: ${trial.study}, ${trial.variant}, seed ${trial.seed} …`);
        else note(`  took ${duration(seconds)}${left}`);
      },
    });
  const left = "stopped; finished trials stay; the same command continues from there";
  try {
    const computed = await work();
    note(`${counted(computed, "trial")} computed now, ${withNeeds(trials()).length} are there`);
    return true;
  } catch (error) {
    if (!signal.aborted) throw error;
    note(left);
    return false;
  }
}

/** Writes the report of a study; returns what to print. */
async function reported(study: Study, request: ReportRequest): Promise<string[]> {
  const find = request.results.result;
  const trials = countDone(study, find);
  if (trials.done === 0) return [`${study.name}: ${doneText(trials)} There is nothing to report.`];
  const files = await writeStudy(study, request);
  return [doneText(trials), ...files];
}

/** The command line that runs a study with these options. */
function commandLine(name: string, values: StudyValues, given: Given): string {
  const kept = (["out", "tiny", "data", "threads"] as const).filter(given);
  const words = kept.map((key) => (values[key] === true ? flagOf(key) : `${flagOf(key)} ${values[key]}`));
  return ["npm run study --", name, ...words].join(" ");
}
