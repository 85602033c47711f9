/** Settings of downloads: where the caches are, which hub, which token; and the report of their progress. */

import { homedir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { InputError } from "../../array/input-error.ts";
import type { Waiting } from "../lock.ts";
import { exists, readText } from "../read.ts";
import { withoutSecrets } from "./location.ts";

/** How far a download is. */
export interface DownloadProgress {
  /** The file that is being transferred. */
  readonly file: string;
  /** Bytes of all wanted files that are here, those of earlier tries included. */
  readonly bytes: number;
  /** Bytes of all wanted files; undefined while a server does not say. */
  readonly total?: number;
  /** Since this call began. */
  readonly bytesPerSecond: number;
}

/** What the environment of a process says. */
export interface DownloadSettings {
  /** The folder that keeps files from plain addresses. */
  readonly cache: string;
  /** The cache of the hub, which all programs share that use `huggingface_hub`. */
  readonly hubCache: string;
  /** Origin of the hub and of its API, without a slash at the end. */
  readonly endpoint: string;
  /** Sent to the endpoint only, and only over https or within this machine. */
  readonly token?: string;
  /** Use what is in the cache, and nothing else. */
  readonly offline: boolean;
}

/** The settings, and what only the caller can give. */
export interface DownloadOptions extends DownloadSettings {
  /** Compare files that are in the cache with their checksums, too; those that arrive always are. */
  readonly verify?: boolean;
  readonly progress?: (progress: DownloadProgress) => void;
  /** Receives one sentence for each retry, restart and wait. */
  readonly notice?: (message: string) => void;
  /** Stops a download; what has arrived is kept, and the next call resumes from there. */
  readonly signal?: AbortSignal;
  /** Tries in a row that bring nothing new before giving up; 6 by default. */
  readonly attempts?: number;
  /** Milliseconds without a byte after which a connection counts as dropped; 60,000 by default. */
  readonly stallMs?: number;
  /** Waits between tries; tests shorten it. */
  readonly pause?: (ms: number, signal?: AbortSignal) => Promise<void>;
}

/** Options with nothing left open. */
export type DownloadContext = DownloadOptions &
  Required<Pick<DownloadOptions, "notice" | "attempts" | "stallMs" | "pause">> & {
    /** Whether a token was left out because the endpoint is plain http. */
    readonly tokenWithheld: boolean;
  };

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Settings from a record of environment variables: `TINYFUSION_CACHE` (default `~/.cache/tinyfusion`); the hub's cache
 * and token where `huggingface_hub` has them (`HF_HUB_CACHE`, `HF_HOME`, default `~/.cache/huggingface`; `HF_TOKEN` or
 * the file of its login, `HF_TOKEN_PATH`); `HF_ENDPOINT`; and `TINYFUSION_OFFLINE` or `HF_HUB_OFFLINE`.
 * @throws InputError for an endpoint that is no address or a token that cannot be one.
 */
export function downloadSettings(env: Environment): DownloadSettings {
  const home = env.HOME || homedir();
  const hubHome = env.HF_HOME || join(env.XDG_CACHE_HOME || join(home, ".cache"), "huggingface");
  const tokenPath = env.HF_TOKEN_PATH || join(hubHome, "token");
  const token = env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN || (exists(tokenPath) ? readText(tokenPath) : "");
  const settings = {
    cache: env.TINYFUSION_CACHE || join(home, ".cache", "tinyfusion"),
    hubCache: env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(hubHome, "hub"),
    endpoint: checkedEndpoint(env.HF_ENDPOINT || "https://huggingface.co"),
    offline: [env.TINYFUSION_OFFLINE, env.HF_HUB_OFFLINE].some((text) => /^(1|true|yes|on)$/i.test(text ?? "")),
  };
  return token ? { ...settings, token: checkedToken(token) } : settings;
}

/**
 * Fills in what the caller left out, and leaves out a token that everyone on the way to the endpoint could read.
 * @throws InputError for an endpoint that is no address.
 */
export function downloadContext({ token, ...options }: DownloadOptions): DownloadContext {
  const pause = (ms: number, signal?: AbortSignal) => setTimeout(ms, undefined, signal ? { signal } : {});
  const endpoint = checkedEndpoint(options.endpoint);
  const url = new URL(endpoint);
  const isSafe = url.protocol === "https:" || isLoopback(url.hostname);
  const defaults = { notice: () => {}, attempts: 6, stallMs: 60_000, pause };
  const held = token !== undefined && isSafe ? { token } : {};
  return { ...defaults, ...options, ...held, endpoint, tokenWithheld: token !== undefined && !isSafe };
}

/** How a download waits for another process that fills the same folder. */
export const waitingFor = (folder: string, { notice, signal }: DownloadContext): Waiting => ({
  onWait: ({ pid }) => notice(`waiting for process ${pid}, which downloads to ${folder}`),
  signal,
});

/** Whether an address stays within this machine. */
export function isLoopback(hostname: string): boolean {
  return /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}

/** The token is never part of a message. */
function checkedToken(text: string): string {
  const token = text.trim();
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new InputError("the hub's token must be one word of plain characters; check HF_TOKEN or the token file");
}

function checkedEndpoint(text: string): string {
  const endpoint = text.replace(/\/+$/, "");
  const url = /^https?:\/\//i.test(endpoint) && URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url && url.username + url.password + url.search === "") return endpoint;
  const expected = url ? "without user name, password and query" : "like https://huggingface.co";
  throw new InputError(`the hub's endpoint must be an address ${expected}, found ${withoutSecrets(text)}`);
}

const betweenMs = 100;

/** Adds up the progress of several files, whose sizes may be known beforehand; reports ten times a second at most. */
export function progressMeter(
  files: readonly { readonly path: string; readonly size?: number }[],
  { progress }: DownloadContext,
) {
  const totals = new Map(files.map(({ path, size }) => [path, size]));
  const arrived = new Map<string, number>();
  const started = performance.now();
  let transferred = 0;
  let reported = Number.NEGATIVE_INFINITY;
  const report = (file: string) => {
    reported = performance.now();
    const bytes = [...arrived.values()].reduce((sum, one) => sum + one, 0);
    const sum = [...totals.values()].reduce((total = Number.NaN, size = Number.NaN) => total + size, 0);
    const total = Number.isNaN(sum) ? {} : { total: sum! };
    const bytesPerSecond = transferred / Math.max(0.001, (reported - started) / 1000);
    progress?.({ file, bytes, bytesPerSecond, ...total });
  };
  return {
    /** `bytes` of `total` of this file are there. */
    at(file: string, bytes: number, total: number | undefined): void {
      const before = arrived.get(file);
      // The first report of a file is what an earlier call left; a smaller one is a restart.
      if (before !== undefined && bytes > before) transferred += bytes - before;
      arrived.set(file, bytes);
      if (total !== undefined) totals.set(file, total);
      if (before === undefined || performance.now() - reported >= betweenMs) report(file);
    },
    /** This file is there. */
    done(file: string, bytes: number): void {
      arrived.set(file, bytes);
      totals.set(file, bytes);
      report(file);
    },
  };
}
