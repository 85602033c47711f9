/** Weights that a command names by `hf:owner/name` or an address: downloaded before the command starts. */
import { localPath } from "../storage/download/local-path.ts";
import { parseLocation } from "../storage/download/location.ts";
import { type DownloadProgress, downloadSettings } from "../storage/download/settings.ts";
import type { SettingTable, Values } from "../tasks/settings.ts";
import type { Command } from "./command.ts";
import { duration } from "./progress.ts";
import { bytesText } from "./table.ts";

export interface Downloads {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** Compare files that were downloaded earlier with their checksums. */
  readonly verify: boolean;
  readonly note: (line: string) => void;
  /** Shows how far a download is, where a line can be rewritten. */
  readonly status: (text: string) => void;
}

/** The command's values and arguments with paths in the place of locations on the web. */
export async function located(
  { options }: Pick<Command, "options">,
  values: Values<SettingTable>,
  positional: readonly (string | undefined)[],
  downloads: Downloads,
): Promise<[Values<SettingTable>, (string | undefined)[]]> {
  const local: Record<string, Values<SettingTable>[string]> = { ...values };
  for (const [name, value] of Object.entries(values)) {
    if (options[name]?.kind === "weights" && typeof value === "string") local[name] = await pathOf(value, downloads);
  }
  const paths: (string | undefined)[] = [];
  for (const text of positional) paths.push(text === undefined ? undefined : await pathOf(text, downloads));
  return [local, paths];
}

/** A path as it is; it is for the command to say if nothing is there. */
async function pathOf(text: string, downloads: Downloads): Promise<string> {
  if (parseLocation(text).kind === "path") return text;
  const { env, signal, verify, note, status } = downloads;
  let lastLine = performance.now();
  const progress = (now: DownloadProgress) => {
    status(progressText(now));
    if (performance.now() - lastLine < SECONDS_BETWEEN_LINES * 1000) return;
    lastLine = performance.now();
    note(progressText(now));
  };
  return localPath(text, { ...downloadSettings(env), signal, verify, notice: note, progress });
}

/** For logs, which keep every line. */
const SECONDS_BETWEEN_LINES = 30;

function progressText({ file, bytes, total, bytesPerSecond }: DownloadProgress): string {
  const left = total === undefined ? "" : ` of ${bytesText(total)}, left ${duration((total - bytes) / bytesPerSecond)}`;
  return `${file}: ${bytesText(bytes)}${left}, ${bytesText(Math.round(bytesPerSecond))}/s`;
}
