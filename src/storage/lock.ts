/**
 * One process per folder. The holder owns a lock file `lock-<host>-<pid>-<start>-<pid namespace>-<boot>-<nonce>` in it:
 * a named pipe that it keeps open.
 *
 * A process number says nothing outside its pid namespace, so the kernel is asked whether a holder lives: a pipe can be
 * opened for writing only while somebody has it open for reading, in whatever container of this kernel that is, and the
 * kernel closes it however the process ends. Where there is no such pipe (Windows, some network disks) a lock file is a
 * plain file, and the process number decides within one namespace.
 *
 * Identity is in the file *name*, so a lock file is complete the instant it exists, a name is never used twice, and
 * removing a dead process's file can never remove a living one's. Acquiring the lock is: make a lock file, then look for
 * others. Of two racing processes the later one sees the earlier file, so never both win; if both see each other, both
 * withdraw and try again after a random pause.
 */

import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { hostname, uptime } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { InputError } from "../array/input-error.ts";
import { makeFolder, removeTemporaries, temporaryName } from "./atomic-write.ts";
import { codeOf, fileError } from "./file-error.ts";

/** A process that holds a folder; where there is no /proc, `start`, `namespace` and `boot` are "0". */
export interface LockHolder {
  /** The host's name, without characters that file names or lock files cannot have. */
  readonly host: string;
  /** As its own pid namespace counts. */
  readonly pid: number;
  /** The kernel's start time of the process in clock ticks since boot. */
  readonly start: string;
  /** Number of its pid namespace. */
  readonly namespace: string;
  /** Id of this run of the kernel, in hexadecimal. */
  readonly boot: string;
  /** Whether it runs, or ran, under this kernel, so that it can be known whether it lives. */
  readonly isLocal: boolean;
  /** The lock file, without folder. */
  readonly name: string;
}

const attempts = 8;
/** Milliseconds between two touches of a held lock file: its age tells an earlier boot of this machine from a namesake. */
const touchEvery = 10_000;

/**
 * Acquires the folder for this process, making it if needed. Lock files of dead processes are removed.
 * @returns a function that releases the folder; calling it twice is harmless.
 * @throws InputError `run folder X is in use by process P` while another process, or this one, holds it.
 */
export function lockFolder(folder: string): () => void {
  for (let attempt = 1; ; attempt++) {
    makeFolder(folder); // each time: whoever made it may have removed it again, being empty
    let rival = lockHolder(folder); // who needs no lock file of ours to be seen
    const mine = rival ? undefined : makeLockFile(folder);
    rival ??= mine && livingHolders(folder).find(({ name }) => name !== mine.name);
    if (mine && !rival) {
      removeTemporaries(folder, "lock");
      return held(folder, mine);
    }
    mine?.withdraw();
    if (attempt === attempts) throw inUse(folder, rival);
    const pause = 5 + Math.random() * 30 * attempt;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pause);
  }
}

/** The living process that holds `folder`, if any. */
export function lockHolder(folder: string): LockHolder | undefined {
  return livingHolders(folder)[0];
}

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
export async function holdingFolder<T>(
  folder: string,
  { onWait, signal }: Waiting,
  body: () => Promise<T>,
): Promise<T> {
  let isWaiting = false;
  let release: (() => void) | undefined;
  for (let vacant = 0; !release; ) {
    signal?.throwIfAborted();
    const holder = lockHolder(folder);
    if (!holder?.isLocal) {
      try {
        release = lockFolder(folder);
        continue;
      } catch (error) {
        if (holder !== undefined || ++vacant === 5) throw error; // it cannot be locked and has no holder
      }
    } else {
      vacant = 0;
      if (!isWaiting) onWait(holder);
      isWaiting = true;
    }
    await setTimeout(100 + Math.random() * 100);
  }
  try {
    return await body();
  } finally {
    release();
  }
}

interface LockFile {
  readonly name: string;
  withdraw(): void;
}

/** Makes a lock file; undefined where the folder, or the file before it had its name, was removed meanwhile. */
function makeLockFile(folder: string): LockFile | undefined {
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

/** Keeps the lock file young, until it is released; a second call must not touch a later one of this process. */
function held(folder: string, mine: LockFile): () => void {
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

const lockName = /^lock-([^-]+)-(\d+)-(\d+)-(\d+)-([0-9a-f]+)-[0-9a-f]{8}$/;

/** Living holders of `folder`; lock files of dead ones are removed on the way. */
function livingHolders(folder: string): LockHolder[] {
  const self = thisProcess();
  const living: LockHolder[] = [];
  for (const name of namesIn(folder)) {
    const [, host, pid, start, namespace, boot] = lockName.exec(name) ?? [];
    if (host === undefined) continue;
    // Without a boot id (no /proc) a host is known by its name alone.
    const isLocal = boot === self.boot && (boot !== "0" || host === self.host);
    const holder = { host, pid: Number(pid), start: start!, namespace: namespace!, boot: boot!, isLocal, name };
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

/** Whether a holder still runs; where that cannot be known, it counts as running. */
function isAlive(path: string, { host, pid, start, namespace, isLocal }: LockHolder): boolean {
  const info = statSync(path, { throwIfNoEntry: false });
  if (info === undefined) return false;
  const self = thisProcess();
  // Of this machine before it was started anew, unless a namesake keeps the lock file young.
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
  const path = join(folder, holder.name);
  const isPipe = holder.isLocal && statSync(path, { throwIfNoEntry: false })?.isFIFO();
  return new InputError(`${message} ${where}; ${isPipe ? advice : `if it no longer runs there, delete ${path}`}`);
}

let self: Omit<LockHolder, "isLocal" | "name"> | undefined;

/** The identity of this process. */
export function thisProcess() {
  const orZero = (read: () => string | undefined): string => {
    try {
      return read() || "0";
    } catch {
      return "0";
    }
  };
  self ??= {
    host: hostname().replaceAll(/[^A-Za-z0-9._]/g, "_") || "host",
    pid: process.pid,
    start: startOf("self") ?? "0",
    namespace: orZero(() => /\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0]),
    boot: orZero(() => readFileSync("/proc/sys/kernel/random/boot_id", "latin1").replaceAll(/[^0-9a-f]/g, "")),
  };
  return self;
}

/** A process's start time from /proc: "" for a zombie, undefined where there is no /proc. */
export function startOf(pid: number | "self"): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // the name before may hold spaces; field 3 is first
    return fields[0] === "Z" || fields[0] === "X" ? "" : fields[19];
  } catch {
    return undefined;
  }
}
