/** What a download is told: where the cache is, which hub, which token, and who wants to hear of its progress. */

import { homedir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { InputError } from "../../array/input-error.ts";
import type { Waiting } from "../holding-folder.ts";
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
  /** The folder that keeps what was downloaded. */
  readonly cache: string;
  /** Origin of the hub and of its API, without a slash at the end. */
  readonly endpoint: string;
  /** Sent to the endpoint only, and only over https or within this machine. */
  readonly token?: string;
  /** Use what is in the cache, and nothing else. */
  readonly offline: boolean;
}

/** The settings, and what only the caller can give. */
export interface DownloadOptions extends DownloadSettings {
  readonly progress?: (progress: DownloadProgress) => void;
  /** Hears of retries, restarts and waiting: one sentence each. */
  readonly notice?: (message: string) => void;
  /** Stops a download; what has arrived is kept, and the next call goes on from there. */
  readonly signal?: AbortSignal;
  /** Tries in a row that bring nothing new before giving up; 6 by default. */
  readonly attempts?: number;
  /** Milliseconds without a byte after which a connection counts as dropped; 60,000 by default. */
  readonly stallMs?: number;
  /** Waits between tries; tests shorten it. */
  readonly pause?: (ms: number, signal?: AbortSignal) => Promise<void>;
}

/** Options with nothing left open. */
export interface DownloadContext extends DownloadOptions {
  readonly notice: (message: string) => void;
  readonly attempts: number;
  readonly stallMs: number;
  readonly pause: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Whether a token was left out because the endpoint is plain http. */
  readonly tokenWithheld: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Settings from a record of environment variables: `TINYFUSION_CACHE` (default `~/.cache/tinyfusion`), `HF_ENDPOINT`,
 * `HF_TOKEN` or `HUGGING_FACE_HUB_TOKEN` or else the token file that `huggingface-cli login` writes below `HF_HOME`
 * (or at `HF_TOKEN_PATH`), and `TINYFUSION_OFFLINE` or `HF_HUB_OFFLINE`.
 * @throws InputError for an endpoint that is no address or a token that cannot be one.
 */
export function downloadSettings(env: Environment): DownloadSettings {
  const home = env.HOME || homedir();
  const token = env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN || tokenOnDisk(env, home);
  const settings = {
    cache: env.TINYFUSION_CACHE || join(home, ".cache", "tinyfusion"),
    endpoint: checkedEndpoint(env.HF_ENDPOINT || "https://huggingface.co"),
    offline: [env.TINYFUSION_OFFLINE, env.HF_HUB_OFFLINE].some(isOn),
  };
  return token ? { ...settings, token: checkedToken(token) } : settings;
}

/**
 * Fills in what the caller left out, and leaves out a token that everyone on the way to the endpoint could read.
 * @throws InputError for an endpoint that is no address.
 */
export function downloadContext({ token, ...options }: DownloadOptions): DownloadContext {
  const pause = (ms: number, signal?: AbortSignal) => setTimeout(ms, undefined, signal ? { signal } : {});
  const defaults = { notice: () => {}, attempts: 6, stallMs: 60_000, pause };
  const endpoint = checkedEndpoint(options.endpoint);
  const url = new URL(endpoint);
  const isSafe = url.protocol === "https:" || isLoopback(url);
  const held = token !== undefined && isSafe ? { token } : {};
  return { ...defaults, ...options, ...held, endpoint, tokenWithheld: token !== undefined && !isSafe };
}

/** How a download waits for another process that fills the same folder. */
export const waitingFor = (folder: string, { notice, signal }: DownloadContext): Waiting => ({
  onWait: ({ pid }) => notice(`waiting for process ${pid}, which downloads to ${folder}`),
  signal,
});

/** Whether an address stays within this machine. */
export function isLoopback({ hostname }: URL): boolean {
  return /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}

function isOn(text: string | undefined): boolean {
  return ["1", "true", "yes", "on"].includes(text?.toLowerCase() ?? "");
}

function tokenOnDisk(env: Environment, home: string): string | undefined {
  const path = env.HF_TOKEN_PATH || join(env.HF_HOME || join(home, ".cache", "huggingface"), "token");
  return exists(path) ? readText(path) : undefined;
}

/** The token is never part of a message. */
function checkedToken(text: string): string {
  const token = text.trim();
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new InputError("the hub's token must be one word of plain characters; check HF_TOKEN or the token file");
  }
  return token;
}

function checkedEndpoint(text: string): string {
  const endpoint = text.replace(/\/+$/, "");
  if (!/^https?:\/\//i.test(endpoint) || !URL.canParse(endpoint)) {
    const found = withoutSecrets(text);
    throw new InputError(`the hub's endpoint must be an address like https://huggingface.co, found ${found}`);
  }
  const { username, password, search } = new URL(endpoint);
  if (username !== "" || password !== "" || search !== "") {
    const found = withoutSecrets(text);
    throw new InputError(`the hub's endpoint must be an address without user name, password and query, found ${found}`);
  }
  return endpoint;
}
