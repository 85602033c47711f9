/** `tinyfusion study`: comparisons of many runs, cell by cell, and reports of what they found. */
import { cpuEngine } from "../engine/onnx/node-engine.ts";
import { requireWritableFolder } from "../storage/atomic-write.ts";
import { type Cell, withNeeds } from "../studies/cells/cell.ts";
import { Evidence } from "../studies/cells/evidence.ts";
import { Lab } from "../studies/cells/lab.ts";
import { runCells } from "../studies/cells/run-cells.ts";
import { studiesOf } from "../studies/definitions/studies.ts";
import { countDone, type Study } from "../studies/definitions/study.ts";
import { type Budget, budgets } from "../studies/pipeline/budget.ts";
import { counted } from "../studies/report/words.ts";
import { doneText, writeJoined, writeStudy } from "../studies/report/write-report.ts";
import { refuseIgnored, SettingError } from "../tasks/settings.ts";
import { versions } from "../tasks/version.ts";
import { type CommandContext, command, STOPPED, unlessStopped } from "./command.ts";
import { flagOf } from "./flags.ts";
import { duration } from "./progress.ts";
import { chosenCells, requireSome, type StudyValues, studiesNamed, studyOptions } from "./study-options.ts";
import { printPlan } from "./study-plan.ts";

export const study = command({
  name: "study",
  summary: "Run a comparison of pruners or settings, cell by cell, and report what it found.",
  argument: "<name>",
  options: studyOptions,
  examples: [
    "tinyfusion study all --dry-run",
    "tinyfusion study table1",
    "tinyfusion study table1 --only learned,oracle --seeds 0-2",
    "tinyfusion study report",
  ],
  async run(values, context, name) {
    if (values.tiny && !context.given.has("out")) {
      throw new SettingError(
        "--tiny expects an --out of its own: its cells are not to lie among those that mean something",
      );
    }
    const budget: Budget = values.tiny ? budgets.tiny : budgets.full;
    const studies = studiesOf({ budget, fashion: values.data });
    if (!values.dryRun) for (const folder of [values.out, values.work]) requireWritableFolder(folder);
    const evidence = new Evidence(values.out);
    const find = evidence.result;
    const facts = { evidence, command: (of: string) => commandLine(of, values, context) };
    if (name === "report") {
      refuseIgnored(context.given, "study report", ["only", "seeds", "dryRun"], "it renders all that is there");
      for (const one of studies) {
        const cells = countDone(one, find);
        context.print(`${one.name}: ${doneText(cells)}`);
        if (cells.done > 0) await writeStudy(one, facts);
      }
      for (const path of await writeJoined(studies, facts)) context.print(path);
      return 0;
    }
    const chosen = studiesNamed(name, studies);
    if (name === "all") refuseIgnored(context.given, "study all", ["only"], "each study has arms of its own");
    if (values.report) {
      refuseIgnored(context.given, "--report", ["only", "seeds", "dryRun"], "it renders all that is there");
    } else {
      const lab = labOf(values, evidence, context);
      const cells = () => chosen.flatMap((one) => chosenCells(one, values, find));
      requireSome(cells(), name!, values);
      if (values.dryRun) return printPlan({ lab, name: name!, cells: cells(), budget, find, context });
      if (!(await ran(lab, cells, context))) return STOPPED;
    }
    for (const one of chosen) for (const line of await reported(one, facts)) context.print(line);
    return 0;
  },
});

function labOf(values: StudyValues, evidence: Evidence, { signal, note }: CommandContext): Lab {
  const { threads, work } = values;
  return new Lab({ engine: cpuEngine({ threads }), threads, evidence, work, versions: versions(), signal, note });
}

/** Computes what is missing; false, with a note, if it was stopped. */
async function ran(lab: Lab, cells: () => Cell[], context: CommandContext): Promise<boolean> {
  const { note } = context;
  const work = () =>
    runCells({
      ...{ lab, cells },
      onCell(cell, { done, of, secondsLeft }, seconds) {
        const left = Number.isFinite(secondsLeft) ? `; left ${duration(secondsLeft)}` : "";
        if (seconds === undefined) note(`cell ${done + 1} of ${of}: ${cell.study}, ${cell.arm}, seed ${cell.seed} …`);
        else note(`  took ${duration(seconds)}${left}`);
      },
    });
  const left = "stopped; finished cells stay, and the same command goes on from there";
  const computed = await unlessStopped(context, work, left);
  if (computed === undefined) return false;
  note(`${counted(computed, "cell")} computed now, ${withNeeds(cells()).length} are there`);
  return true;
}

/** Writes a study's report; returns its answer and its files. */
async function reported(study: Study, facts: Parameters<typeof writeStudy>[1]): Promise<string[]> {
  const find = facts.evidence.result;
  const cells = countDone(study, find);
  if (cells.done === 0) return [`${study.name}: ${doneText(cells)} There is nothing to report.`];
  const files = await writeStudy(study, facts);
  return [study.report(find).answer, doneText(cells), ...files];
}

/** What a person would type to run a study with these options. */
function commandLine(name: string, values: StudyValues, { given }: CommandContext): string {
  const kept = (["out", "tiny", "data", "threads"] as const).filter((key) => given.has(key));
  const words = kept.map((key) => (values[key] === true ? flagOf(key) : `${flagOf(key)} ${values[key]}`));
  return ["tinyfusion study", name, ...words].join(" ");
}
