/** `study`: comparisons of many runs, cell by cell, and reports of what they found. */
import { type Command, CommanderError } from "commander";
import { counted, cpuEngine, InputError, packageVersions, requireWritableFolder } from "tinyfusion";
import { printPlan } from "./cost-estimate.ts";
import { chosenCells, requireSome, type StudyValues, studiesNamed, studyCommand, UsageError } from "./options.ts";
import { type Budget, budgets } from "./pipeline/budget.ts";
import { doneText, writeJoined, writeStudy } from "./report/write-report.ts";
import { studiesOf } from "./studies/studies.ts";
import { countDone, type Study } from "./studies/study.ts";
import { duration, type Terminal } from "./terminal.ts";
import { Evidence } from "./trials/results.ts";
import { runCells } from "./trials/run-trials.ts";
import { type Cell, Lab, withNeeds } from "./trials/trial.ts";

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
      "--tiny expects an --out of its own: its trials are not to lie among those that mean something",
    );
  }
  const budget: Budget = values.tiny ? budgets.tiny : budgets.full;
  const studies = studiesOf({ budget, fashion: values.data });
  if (!values.dryRun) for (const folder of [values.out, values.work]) requireWritableFolder(folder);
  const evidence = new Evidence(values.out);
  const find = evidence.result;
  const facts = { evidence, command: (of: string) => commandLine(of, values, given) };
  if (name === "report") {
    refuseIgnored(given, "study report", ["only", "seeds", "dryRun"], "it renders all that is there");
    for (const one of studies) {
      const cells = countDone(one, find);
      terminal.print(`${one.name}: ${doneText(cells)}`);
      if (cells.done > 0) await writeStudy(one, facts);
    }
    for (const path of await writeJoined(studies, facts)) terminal.print(path);
    return 0;
  }
  const chosen = studiesNamed(name, studies);
  if (name === "all") refuseIgnored(given, "study all", ["only"], "each study has variants of its own");
  if (values.report) {
    refuseIgnored(given, "--report", ["only", "seeds", "dryRun"], "it renders all that is there");
  } else {
    const lab = labOf(values, evidence, terminal);
    const cells = () => chosen.flatMap((one) => chosenCells(one, values, find));
    requireSome(cells(), name, values);
    if (values.dryRun) return printPlan({ lab, name, cells: cells(), budget, find, terminal });
    if (!(await ran(lab, cells, terminal))) return STOPPED;
  }
  for (const one of chosen) for (const text of await reported(one, facts)) terminal.print(text);
  return 0;
}

/** @throws UsageError for the first of `ignored` that was given beside `by`, which makes it mean nothing. */
function refuseIgnored(given: Given, by: string, ignored: readonly (keyof StudyValues)[], why: string): void {
  const found = ignored.find(given);
  if (found !== undefined) throw new UsageError(`${by} and ${flagOf(found)} exclude each other: ${why}`);
}

const flagOf = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

function labOf(values: StudyValues, evidence: Evidence, { signal, note }: Terminal): Lab {
  const { threads, work } = values;
  return new Lab({
    engine: cpuEngine({ threads }),
    threads,
    evidence,
    work,
    versions: packageVersions(),
    signal,
    note,
  });
}

/** Computes what is missing; false, with a note, if it was stopped. */
async function ran(lab: Lab, cells: () => Cell[], { note, signal }: Terminal): Promise<boolean> {
  const work = () =>
    runCells({
      lab,
      cells,
      onCell(cell, { done, of, secondsLeft }, seconds) {
        const left = Number.isFinite(secondsLeft) ? `; left ${duration(secondsLeft)}` : "";
        if (seconds === undefined) note(`cell ${done + 1} of ${of}: ${cell.study}, ${cell.arm}, seed ${cell.seed} …`);
        else note(`  took ${duration(seconds)}${left}`);
      },
    });
  const left = "stopped; finished cells stay, and the same command goes on from there";
  try {
    const computed = await work();
    note(`${counted(computed, "cell")} computed now, ${withNeeds(cells()).length} are there`);
    return true;
  } catch (error) {
    if (!signal.aborted) throw error;
    note(left);
    return false;
  }
}

/** Writes a study's report; returns its answer and its files. */
async function reported(study: Study, facts: Parameters<typeof writeStudy>[1]): Promise<string[]> {
  const find = facts.evidence.result;
  const cells = countDone(study, find);
  if (cells.done === 0) return [`${study.name}: ${doneText(cells)} There is nothing to report.`];
  const files = await writeStudy(study, facts);
  return [doneText(cells), ...files];
}

/** What a person would type to run a study with these options. */
function commandLine(name: string, values: StudyValues, given: Given): string {
  const kept = (["out", "tiny", "data", "threads"] as const).filter(given);
  const words = kept.map((key) => (values[key] === true ? flagOf(key) : `${flagOf(key)} ${values[key]}`));
  return ["npm run study --", name, ...words].join(" ");
}
