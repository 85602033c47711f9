#!/usr/bin/env node
/** The `tinyfusion` command: finds the subcommand, reads its options, turns errors into sentences and exit codes. */
import { Command as Commander, CommanderError, Option as Flag } from "commander";
import { parse } from "yaml";
import { InputError } from "../array/input-error.ts";
import { ShapeError } from "../graph/tensor.ts";
import { readText } from "../storage/read.ts";
import type { Command } from "./command.ts";
import { commands } from "./commands.ts";
import { flagOf, type Option, resolveValues, UsageError } from "./option.ts";
import { packageVersion } from "./version.ts";

const USAGE = 2;
const FAILURE = 1;

async function main(argv: readonly string[]): Promise<number> {
  let result: Promise<number> | undefined;
  const program = new Commander("tinyfusion")
    .description("Learn which layers of a diffusion transformer to keep, recover it, run it twice as fast.")
    .version(packageVersion())
    .exitOverride();
  for (const command of commands) {
    program.addCommand(
      subcommand(command, (started) => {
        result = started;
      }),
    );
  }
  try {
    await program.parseAsync(argv, { from: "user" });
    return (await result) ?? 0;
  } catch (error) {
    return report(error, argv.includes("--debug"));
  }
}

function subcommand(command: Command, start: (result: Promise<number>) => void): Commander {
  const built = new Commander(command.name).description(command.summary).exitOverride();
  built.configureHelp({ sortOptions: false });
  if (command.argument) built.argument(command.argument);
  for (const [name, option] of Object.entries(command.options)) built.addOption(flag(name, option));
  built.option("--config <file.yaml>", "read options from a file: the same names, without dashes");
  built.option("--debug", "print stack traces");
  if (command.examples.length > 0)
    built.addHelpText("after", `\nExamples:\n${command.examples.map((x) => `  $ ${x}`).join("\n")}`);
  built.action((...parameters) => {
    const argument = command.argument ? (parameters[0] as string | undefined) : undefined;
    const { config, debug: _, ...flags } = built.opts<{ config?: string; debug?: boolean }>();
    const values = resolveValues(command.options, flags, config ? configFile(config) : {}, config);
    start(command.run(values, context(), argument));
  });
  return built;
}

function flag(name: string, option: Option): Flag {
  const value = { integer: " <n>", number: " <x>", text: " <text>", choice: " <name>", flag: "" }[option.kind];
  const choices = option.kind === "choice" ? ` (${option.choices.join(" | ")})` : "";
  const fallback = option.kind !== "flag" && option.fallback !== undefined ? ` [${option.fallback}]` : "";
  return new Flag(`${flagOf(name)}${value}`, `${option.help}${choices}${fallback}`);
}

function configFile(path: string): Record<string, unknown> {
  let content: unknown;
  try {
    content = parse(readText(path));
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new UsageError(`${path}: not YAML: ${(error as Error).message.split("\n")[0]}`);
  }
  if (content === null || content === undefined) return {};
  if (typeof content !== "object" || Array.isArray(content))
    throw new UsageError(`${path}: expected option: value lines`);
  return content as Record<string, unknown>;
}

function context() {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) process.exit(130);
    process.stderr.write("\nstopping after this step; press Ctrl-C again to stop at once\n");
    controller.abort();
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  return {
    signal: controller.signal,
    print: (line: string) => void process.stdout.write(`${line}\n`),
    note: (line: string) => void process.stderr.write(`${line}\n`),
  };
}

function report(error: unknown, debug: boolean): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
  const known = error instanceof InputError || error instanceof UsageError || error instanceof ShapeError;
  const text = error instanceof Error ? error : new Error(String(error));
  process.stderr.write(`tinyfusion: ${text.message}\n`);
  if (debug) process.stderr.write(`${text.stack}\n`);
  else if (!known) process.stderr.write("This is a defect of tinyfusion; --debug shows where it happened.\n");
  return error instanceof UsageError ? USAGE : FAILURE;
}

process.exitCode = await main(process.argv.slice(2));
