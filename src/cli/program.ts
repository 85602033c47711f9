/** The whole command line as a function: finds the subcommand, reads its flags, turns errors into sentences and exit codes. */
import { Command as Commander, CommanderError, Option as Flag } from "commander";
import { InputError } from "../array/input-error.ts";
import { ShapeError } from "../graph/tensor.ts";
import { withoutSecrets } from "../storage/download/location.ts";
import type { DownloadProgress } from "../storage/download/settings.ts";
import { configFile } from "../tasks/config-file.ts";
import { resolveValues, type Setting, SettingError, type SettingTable } from "../tasks/settings.ts";
import type { TaskHooks, TaskSettings } from "../tasks/task.ts";
import { packageVersion } from "../tasks/version.ts";
import { type Command, STOPPED, Stopped } from "./command.ts";
import { commands } from "./commands.ts";
import { commandLine, flagOf, settingsOfFile, withFlags } from "./flags.ts";
import { duration, type OutputStream, printable, Screen } from "./progress.ts";
import { bytesText } from "./table.ts";

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

/** What was typed: settings by their names, flags of the command, and the options of every command. */
interface Typed {
  readonly settings: Readonly<Record<string, unknown>>;
  readonly flags: Readonly<Record<string, unknown>>;
  readonly verify: boolean;
}

/** Runs one command line (without the program's name); returns the exit code. Never throws. */
export async function runProgram(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  const { stdout, stderr, signal } = surroundings;
  const screen = new Screen(stdout, stderr);
  let running: Command | undefined;
  let result: Promise<number> | undefined;
  const program = speaking(new Commander("tinyfusion"), surroundings)
    .description("Learn which layers of a diffusion transformer to keep, recover it, run it twice as fast.")
    .version(packageVersion());
  for (const command of commands) {
    const built = subcommand(command, (typed) => {
      running = command;
      result = runCommand(command, typed, screen, surroundings);
    });
    program.addCommand(speaking(built, surroundings));
  }
  try {
    await program.parseAsync(withBareValues(argv), { from: "user" });
    return (await result) ?? 0;
  } catch (error) {
    screen.clear();
    if (signal.aborted && error === signal.reason) return STOPPED;
    return report(error, argv.includes("--debug"), stderr, running?.positional);
  }
}

/** Calls the task and prints what the command says of its result. */
async function runCommand(
  command: Command,
  { settings, flags, verify }: Typed,
  screen: Screen,
  { signal, env }: Surroundings,
): Promise<number> {
  const { name, positional = [], stopped = "stopped; nothing was written" } = command;
  const print = (line: string) => screen.print(withFlags(line, positional));
  const note = (line: string) => screen.note(withFlags(line, positional));
  const hooks: TaskHooks = {
    signal,
    onNote: note,
    onProgress: (progress) => screen.progress(progress),
    downloads: { env, verify, progress: downloadProgress(screen) },
    command: commandLine(name, positional, { ...settings, ...flags }),
  };
  try {
    const own = resolveValues(command.flags ?? {}, flags);
    for (const line of await command.run({ ...settings, ...hooks } as TaskSettings<SettingTable>, own, { print, note }))
      print(line);
    return 0;
  } catch (error) {
    if (error instanceof Stopped) for (const line of error.lines) print(line);
    else if (signal.aborted && error === signal.reason) note(stopped);
    else throw error;
    return STOPPED;
  }
}

/** For logs, which keep every line. */
const SECONDS_BETWEEN_LINES = 30;

/** Shows how far a download is: on one line where it can be rewritten, and now and then as a line of its own. */
function downloadProgress(screen: Screen) {
  let lastLine = performance.now();
  return ({ file, bytes, total, bytesPerSecond }: DownloadProgress): void => {
    const left =
      total === undefined ? "" : ` of ${bytesText(total)}, left ${duration((total - bytes) / bytesPerSecond)}`;
    const text = `${file}: ${bytesText(bytes)}${left}, ${bytesText(Math.round(bytesPerSecond))}/s`;
    screen.status(text);
    if (performance.now() - lastLine < SECONDS_BETWEEN_LINES * 1000) return;
    lastLine = performance.now();
    screen.note(text);
  };
}

/** All settings and flags of a command that are not arguments. */
function optionsOf({ settings, positional = [], flags = {} }: Command): SettingTable {
  const own = Object.entries({ ...flags, ...settings }).filter(([name]) => !positional.includes(name));
  return Object.fromEntries(own);
}

/** Gives options that were typed without a value their default one: the next word may belong to something else. */
function withBareValues(argv: readonly string[]): string[] {
  const options = commands.find(({ name }) => name === argv[0])?.settings ?? {};
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

function subcommand(command: Command, start: (typed: Typed) => void): Commander {
  const { name, summary, settings, positional = [], examples } = command;
  const options = optionsOf(command);
  const built = new Commander(name).description(summary).configureHelp({ sortOptions: false });
  for (const argument of positional) built.argument(`<${argument}>`, settings[argument]!.help);
  for (const [option, setting] of Object.entries(options)) built.addOption(flag(option, setting));
  const takesWeights = Object.values(settings).some(({ kind }) => kind === "weights");
  if (takesWeights && !settings.verify)
    built.option("--verify", "comparison of downloaded weights with their checksums");
  built.option("--config <file.yaml>", "file of options: the same names, without dashes");
  built.option("--debug", "stack traces of errors");
  built.addHelpText("after", `\nExamples:\n${examples.map((x) => `  $ ${x}`).join("\n")}`);
  built.action(() => {
    const { config, debug: _, verify = false, ...words } = built.opts<Record<string, unknown> & { config?: string }>();
    const file = config === undefined ? {} : settingsOfFile(options, configFile(config), config);
    const texts = Object.fromEntries(positional.map((argument, i) => [argument, built.args[i]]));
    const given = { ...texts, ...file, ...words, ...(settings.verify && { verify: verify || file.verify }) };
    const isFlag = ([option]: readonly [string, unknown]) => Object.hasOwn(command.flags ?? {}, option);
    start({
      settings: Object.fromEntries(Object.entries(given).filter((entry) => !isFlag(entry))),
      flags: Object.fromEntries(Object.entries(given).filter(isFlag)),
      verify: verify === true,
    });
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

function report(error: unknown, debug: boolean, stderr: OutputStream, positional: readonly string[] = []): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
  const known = error instanceof InputError || error instanceof SettingError || error instanceof ShapeError;
  const cause = error instanceof Error ? error : new Error(String(error));
  const text = OUT_OF_MEMORY.test(cause.message)
    ? `not enough memory (${cause.message}); a smaller --micro-batch or --batch needs less`
    : `${withFlags(cause.message, positional)}${known ? "" : " (this is a defect of tinyfusion; --debug shows where it happened)"}`;
  // A mistyped address may have come anywhere, as a path or as the name of a choice.
  stderr.write(`tinyfusion: ${withoutSecrets(printable(text)).replaceAll("\n", " ")}\n`);
  if (debug) stderr.write(`${withoutSecrets(cause.stack ?? "")}\n`);
  return error instanceof SettingError ? USAGE : FAILURE;
}
