/**
 * One process per folder. The holder owns a claim `lock-<host>-<pid>-<start>-<pid namespace>-<boot>-<nonce>` in it: a
 * named pipe that it keeps open.
 *
 * A process number says nothing outside its pid namespace, so whether a claimer lives is asked of the kernel: a pipe can
 * be opened for writing only while somebody has it open for reading, in whatever container of this kernel that is, and
 * the kernel closes it however the process ends. Where there is no such pipe (Windows, some network disks) a claim is
 * a plain file, and the process number decides within one namespace.
 *
 * Identity is in the file *name*, so a claim is complete the instant it exists, a name is never used twice, and removing
 * a dead process's claim can never remove a living one's. Taking the lock is: make a claim, then look for others. Of two
 * racing takers the later claimer sees the earlier claim, so never both win; if both see each other, both withdraw and
 * try again after a random pause.
 */

import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, constants, openSync, readdirSync, renameSync, rmSync, statSync, utimesSync } from "node:fs";
import { uptime } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { InputError } from "../array/input-error.ts";
import { makeFolder, removeTemporaries, temporaryName } from "./atomic-write.ts";
import { codeOf, fileError } from "./file-error.ts";
import { type ProcessIdentity, startOf, thisProcess } from "./process-identity.ts";

/** A process that claims a folder. */
export interface LockHolder extends ProcessIdentity {
  /** Whether it runs, or ran, under this kernel, so that it can be known whether it lives. */
  readonly isLocal: boolean;
  /** The claim, without folder. */
  readonly name: string;
}

const attempts = 8;
/** Milliseconds between two touches of a held claim: its age tells an earlier boot of this machine from a namesake. */
const touchEvery = 10_000;

/**
 * Takes the folder for this process, making it if needed. Claims of dead processes are removed.
 * @returns a function that gives the folder back; calling it twice is harmless.
 * @throws InputError `run folder X is in use by process P` while another process, or this one, holds it.
 */
export function lockFolder(folder: string): () => void {
  for (let attempt = 1; ; attempt++) {
    makeFolder(folder); // each time: whoever made it may have removed it again, being empty
    let rival = livingClaims(folder)[0]; // of whom no claim of ours has to tell us
    const mine = rival ? undefined : claim(folder);
    rival ??= mine && livingClaims(folder).find(({ name }) => name !== mine.name);
    if (mine && !rival) {
      removeTemporaries(folder, "lock");
      return held(folder, mine);
    }
    mine?.withdraw();
    if (attempt === attempts) throw inUse(folder, rival);
    pause(5 + Math.random() * 30 * attempt);
  }
}

/** The living process that holds `folder`, if any. */
export function lockHolder(folder: string): LockHolder | undefined {
  return livingClaims(folder)[0];
}

interface Claim {
  readonly name: string;
  withdraw(): void;
}

/** Makes a claim; undefined where the folder, or the claim before it had its name, was removed meanwhile. */
function claim(folder: string): Claim | undefined {
  const { host, pid, start, namespace, boot } = thisProcess();
  const name = ["lock", host, pid, start, namespace, boot, randomBytes(4).toString("hex")].join("-");
  const path = join(folder, name);
  let pipe: number | undefined;
  try {
    const unnamed = temporaryName(join(folder, "lock"));
    pipe = openPipe(unnamed);
    if (pipe === undefined) closeSync(openSync(path, "wx"));
    else renameSync(unnamed, path); // only now can others see it: open already, so never taken for dead
  } catch (error) {
    if (pipe !== undefined) closeSync(pipe);
    if (codeOf(error) === "ENOENT") return undefined;
    throw fileError("lock", folder, error);
  }
  return {
    name,
    withdraw() {
      rmSync(path, { force: true });
      if (pipe !== undefined) closeSync(pipe);
    },
  };
}

/** A new named pipe, open for reading; undefined where there can be none. */
function openPipe(path: string): number | undefined {
  if (process.platform === "win32") return undefined;
  try {
    execFileSync("mkfifo", [path], { stdio: "ignore" });
  } catch {
    return undefined;
  }
  return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
}

/** Keeps the claim young, until it is given back; a second call must not touch a later claim of this process. */
function held(folder: string, mine: Claim): () => void {
  const path = join(folder, mine.name);
  const touch = () => {
    try {
      utimesSync(path, new Date(), new Date());
    } catch {} // the folder may be gone, or its disk for a while: that is for the work in it to report
  };
  const timer = setInterval(touch, touchEvery).unref();
  let isHeld = true;
  return () => {
    if (!isHeld) return;
    isHeld = false;
    clearInterval(timer);
    mine.withdraw();
  };
}

const claimName = /^lock-([^-]+)-(\d+)-(\d+)(?:-(\d+)-([0-9a-f]+)-[0-9a-f]{8})?$/;

/** Living claims on `folder`; dead ones are removed on the way. */
function livingClaims(folder: string): LockHolder[] {
  const self = thisProcess();
  const living: LockHolder[] = [];
  for (const name of namesIn(folder)) {
    const match = claimName.exec(name);
    if (!match) continue;
    const [host, pid, start] = [match[1]!, Number(match[2]), match[3]!];
    // Before claims named their namespace they were plain files of one host; nothing but its name is known of it.
    const { namespace, boot } = match[5] === undefined ? self : { namespace: match[4]!, boot: match[5] };
    // Without a boot id (no /proc) a host is known by its name alone.
    const isLocal = boot === self.boot && ((match[5] !== undefined && boot !== "0") || host === self.host);
    const holder: LockHolder = { host, pid, start, namespace, boot, isLocal, name };
    if (isAlive(join(folder, name), holder)) living.push(holder);
    else rmSync(join(folder, name), { force: true });
  }
  return living;
}

/** None of a folder that was removed meanwhile. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw fileError("lock", folder, error);
  }
}

/** Whether a claimer still runs; where that cannot be known, it counts as running. */
function isAlive(path: string, { host, pid, start, namespace, isLocal }: LockHolder): boolean {
  const info = statSync(path, { throwIfNoEntry: false });
  if (info === undefined) return false;
  const self = thisProcess();
  // Of this machine before it was started anew, unless a namesake keeps the claim young.
  if (!isLocal) return host !== self.host || info.mtimeMs > Date.now() - 1000 * uptime();
  if (info.isFIFO()) return hasReader(path);
  return namespace !== self.namespace || isRunning(pid, start);
}

function hasReader(pipe: string): boolean {
  try {
    closeSync(openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK));
    return true;
  } catch (error) {
    return codeOf(error) !== "ENXIO" && codeOf(error) !== "ENOENT";
  }
}

/** Whether a process of this namespace runs: a pid may be gone, a zombie's, or a later process's. */
function isRunning(pid: number, start: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (codeOf(error) === "ESRCH") return false;
  }
  const found = startOf(pid);
  return found === undefined || start === "0" || found === start;
}

function inUse(folder: string, holder: LockHolder | undefined): InputError {
  if (holder === undefined) return new InputError(`cannot lock ${folder}: it is removed again and again; try later`);
  const self = thisProcess();
  const message = `run folder ${folder} is in use by process ${holder.pid}`;
  const advice = "stop it first or choose another folder";
  if (holder.isLocal && holder.namespace === self.namespace) return new InputError(`${message}; ${advice}`);
  const where = holder.host === self.host ? "in another container or machine of this name" : `on host ${holder.host}`;
  if (holder.isLocal && statSync(join(folder, holder.name), { throwIfNoEntry: false })?.isFIFO())
    return new InputError(`${message} ${where}; ${advice}`);
  return new InputError(`${message} ${where}; if it no longer runs there, delete ${join(folder, holder.name)}`);
}

function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

const patience = 5; // attempts at a folder that cannot be locked and has no holder: the last one shows its error

export interface Waiting {
  /** Called once, with the process that holds the folder. */
  readonly onWait: (holder: LockHolder) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs `body` while this call holds the folder as `lockFolder` does. Waits as long as a living process of this machine
 * holds it.
 * @throws InputError if the folder cannot be locked, or a process of another machine holds it, of which nobody here
 *   can tell whether it still runs; the signal's reason while waiting.
 */
export async function holdingFolder<T>(folder: string, waiting: Waiting, body: () => Promise<T>): Promise<T> {
  const release = await lockWhenFree(folder, waiting);
  try {
    return await body();
  } finally {
    release();
  }
}

async function lockWhenFree(folder: string, { onWait, signal }: Waiting): Promise<() => void> {
  let isWaiting = false;
  for (let vacant = 0; ; ) {
    signal?.throwIfAborted();
    const holder = lockHolder(folder);
    if (!holder?.isLocal) {
      try {
        return lockFolder(folder);
      } catch (error) {
        if (holder !== undefined || ++vacant === patience) throw error;
      }
    } else {
      vacant = 0;
      if (!isWaiting) onWait(holder);
      isWaiting = true;
    }
    await setTimeout(100 + Math.random() * 100);
  }
}
