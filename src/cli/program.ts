/** The whole command line as a function: finds the subcommand, reads its options, turns errors into sentences and exit codes. */
import { availableParallelism } from "node:os";
import { Command as Commander, CommanderError, Option as Flag } from "commander";
import { InputError } from "../array/input-error.ts";
import { ShapeError } from "../graph/tensor.ts";
import { withoutSecrets } from "../storage/download/location.ts";
import { configFile } from "../tasks/config-file.ts";
import { refuseTwoModels } from "../tasks/model-settings.ts";
import { refuseFileNames } from "../tasks/output-names.ts";
import {
  givenNames,
  resolveValues,
  type Setting,
  SettingError,
  type SettingTable,
  type Values,
} from "../tasks/settings.ts";
import { packageVersion } from "../tasks/version.ts";
import { type Command, STOPPED } from "./command.ts";
import { commands } from "./commands.ts";
import { flagOf, settingsOfFile, withFlags } from "./flags.ts";
import { located } from "./locations.ts";
import { type OutputStream, printable, Screen } from "./progress.ts";

const USAGE = 2;
const FAILURE = 1;

/** Where a command line runs: what it prints to, and what stops it. */
export interface Surroundings {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly signal: AbortSignal;
  /** Environment variables: where downloads come from and go to. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Runs one command line (without the program's name); returns the exit code. Never throws. */
export async function runProgram(
  argv: readonly string[],
  { stdout, stderr, signal, env }: Surroundings,
): Promise<number> {
  const screen = new Screen(stdout, stderr);
  const context = {
    signal,
    print: (line: string) => screen.print(withFlags(line)),
    note: (line: string) => screen.note(withFlags(line)),
    progress: (progress: Parameters<Screen["progress"]>[0]) => screen.progress(progress),
  };
  let result: Promise<number> | undefined;
  const program = speaking(new Commander("tinyfusion"), { stdout, stderr })
    .description("Learn which layers of a diffusion transformer to keep, recover it, run it twice as fast.")
    .version(packageVersion());
  for (const command of commands) {
    const built = subcommand(command, (values, given, positional, verify) => {
      refuseTwoModels(given);
      refuseFileNames(command.name, command.options, values);
      const downloads = { env, signal, verify, note: context.note, status: (text: string) => screen.status(text) };
      result = located(command, values, positional, downloads).then(([local, paths]) =>
        command.run(
          withinCores(local, given, context.note),
          { ...context, given, typed: { values, positional } },
          ...paths,
        ),
      );
    });
    program.addCommand(speaking(built, { stdout, stderr }));
  }
  try {
    await program.parseAsync(withBareValues(argv), { from: "user" });
    return (await result) ?? 0;
  } catch (error) {
    screen.clear();
    if (signal.aborted && error === signal.reason) return STOPPED;
    return report(error, argv.includes("--debug"), stderr);
  }
}

/** More threads than cores only get into each other's way. */
function withinCores<V extends Values<SettingTable>>(
  values: V,
  given: ReadonlySet<string>,
  note: (line: string) => void,
): V {
  const cores = availableParallelism();
  if (!given.has("threads") || !(Number(values.threads) > cores)) return values;
  note(`--threads ${values.threads} is more than this machine has; using ${cores}`);
  return { ...values, threads: cores };
}

/** Gives options that were typed without a value their default one: the next word may belong to something else. */
function withBareValues(argv: readonly string[]): string[] {
  const options: SettingTable = commands.find(({ name }) => name === argv[0])?.options ?? {};
  const bare = new Map(
    Object.entries(options).flatMap(([name, option]) =>
      option.kind === "choice" && option.bare !== undefined ? [[flagOf(name), option] as const] : [],
    ),
  );
  return argv.map((word, i) => {
    const option = bare.get(word);
    return option && !option.choices.includes(argv[i + 1] ?? "") ? `${word}=${option.bare}` : word;
  });
}

/** Sends help to stdout and mistakes to stderr, one line each, and throws instead of ending the process. */
function speaking(command: Commander, { stdout, stderr }: Pick<Surroundings, "stdout" | "stderr">): Commander {
  return command.exitOverride().configureOutput({
    writeOut: (text) => void stdout.write(text),
    writeErr: (text) => void stderr.write(text),
    outputError: (text, write) => write(`${withoutSecrets(mistake(text))}\n`),
  });
}

/** Commander's "error: unknown option '--a'\n(Did you mean --b?)" as one sentence. */
function mistake(text: string): string {
  const sentence = text.trimEnd().replace(/^error: /, "");
  return `tinyfusion: ${sentence.replace(/\n\(Did you mean (.*)\)$/s, "; did you mean $1")}`;
}

function subcommand(
  command: Command,
  start: (
    values: ReturnType<typeof resolveValues>,
    given: ReadonlySet<string>,
    positional: (string | undefined)[],
    verify: boolean,
  ) => void,
): Commander {
  const built = new Commander(command.name).description(command.summary);
  built.configureHelp({ sortOptions: false });
  if (command.argument) built.arguments(command.argument);
  for (const [name, option] of Object.entries(command.options)) built.addOption(flag(name, option));
  const takesWeights = command.argument || Object.values(command.options).some(({ kind }) => kind === "weights");
  if (takesWeights && !command.options.verify)
    built.option("--verify", "compare downloaded weights with their checksums");
  built.option("--config <file.yaml>", "read options from a file: the same names, without dashes");
  built.option("--debug", "print stack traces");
  if (command.examples.length > 0)
    built.addHelpText("after", `\nExamples:\n${command.examples.map((x) => `  $ ${x}`).join("\n")}`);
  built.action((...parameters) => {
    const positional = parameters.slice(0, built.registeredArguments.length) as (string | undefined)[];
    const {
      config,
      debug: _,
      verify = false,
      ...others
    } = built.opts<{ [name: string]: unknown; config?: string; verify?: boolean }>();
    const flags = command.options.verify && verify ? { ...others, verify } : others;
    const file = config === undefined ? {} : settingsOfFile(command.options, configFile(config), config);
    const given = { ...file, ...flags };
    start(resolveValues(command.options, given), givenNames(given), positional, verify);
  });
  return built;
}

function flag(name: string, option: Setting): Flag {
  const value = {
    integer: " <n>",
    number: " <x>",
    text: " <text>",
    folder: " <folder>",
    choice: " <name>",
    flag: "",
    weights: " <where>",
  }[option.kind];
  const isBare = option.kind === "choice" && option.bare !== undefined;
  const choices = option.kind === "choice" ? ` (${option.choices.join(" | ")})` : "";
  const fallback = "fallback" in option && option.fallback !== undefined ? ` [${option.fallback}]` : "";
  return new Flag(`${flagOf(name)}${isBare ? " [name]" : value}`, `${withFlags(option.help)}${choices}${fallback}`);
}

/** What the engine and the runtime say when there is not enough memory. */
const OUT_OF_MEMORY = /allocation failed|failed to allocate|bad[ _]alloc|invalid (typed )?array length/i;

function report(error: unknown, debug: boolean, stderr: OutputStream): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
  const known = error instanceof InputError || error instanceof SettingError || error instanceof ShapeError;
  const cause = error instanceof Error ? error : new Error(String(error));
  const text = OUT_OF_MEMORY.test(cause.message)
    ? `not enough memory (${cause.message}); a smaller --micro-batch or --batch needs less`
    : `${withFlags(cause.message)}${known ? "" : " (this is a defect of tinyfusion; --debug shows where it happened)"}`;
  // A mistyped address may have come anywhere, as a path or as the name of a choice.
  stderr.write(`tinyfusion: ${withoutSecrets(printable(text)).replaceAll("\n", " ")}\n`);
  if (debug) stderr.write(`${withoutSecrets(cause.stack ?? "")}\n`);
  return error instanceof SettingError ? USAGE : FAILURE;
}
