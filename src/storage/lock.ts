/**
 * One process per folder. The holder owns a claim file `lock-<host>-<pid>-<start>` in it.
 *
 * Identity stands in the file *name*, so a claim is complete the instant it exists, a name is never used twice,
 * and removing a dead process's claim can never remove a living one's. Taking the lock is: make a claim, then look
 * for others. Of two racing takers the later claimer sees the earlier claim, so never both win; if both see each
 * other, both withdraw and try again after a random pause.
 */

import { closeSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { InputError } from "../array/input-error.ts";
import { makeFolder } from "./atomic-write.ts";
import { codeOf, fileError } from "./file-error.ts";

/** A process that claims a folder. */
export interface LockHolder {
  readonly host: string;
  readonly pid: number;
  /** The kernel's start time of the process in clock ticks since boot; "0" where there is no /proc. */
  readonly start: string;
}

const attempts = 6;

/**
 * Takes the folder for this process, making it if needed. Claims of dead processes are removed: a pid that is gone,
 * is a zombie, or now belongs to a process with another start time.
 * @returns a function that gives the folder back; calling it twice is harmless.
 * @throws InputError `run folder X is in use by process P` while another process, or this one, holds it.
 */
export function lockFolder(folder: string): () => void {
  makeFolder(folder);
  const self: LockHolder = { host: safeHost(), pid: process.pid, start: startOf(process.pid) ?? "0" };
  for (let attempt = 1; ; attempt++) {
    const mine = claim(folder, self);
    const rival = livingClaims(folder).find((holder) => claimName(holder) !== claimName(self));
    if (rival === undefined) return () => rmSync(mine, { force: true });
    rmSync(mine, { force: true });
    if (attempt === attempts) throw inUse(folder, rival);
    pause(5 + Math.random() * 30 * attempt);
  }
}

/** The living process that holds `folder`, if any. */
export function lockHolder(folder: string): LockHolder | undefined {
  return livingClaims(folder)[0];
}

function claim(folder: string, self: LockHolder): string {
  const path = join(folder, claimName(self));
  try {
    const file = openSync(path, "wx"); // O_EXCL: two takers within one process meet here
    try {
      writeSync(file, `${JSON.stringify({ ...self, since: new Date().toISOString() })}\n`);
    } catch {} // for people only: a full disk must not keep the lock from working
    closeSync(file);
  } catch (error) {
    throw codeOf(error) === "EEXIST" ? inUse(folder, self) : fileError("lock", folder, error);
  }
  return path;
}

/** Living claims on `folder`; dead ones are removed on the way. */
function livingClaims(folder: string): LockHolder[] {
  const living: LockHolder[] = [];
  for (const name of readdirSync(folder).sort()) {
    const match = /^lock-(.+)-(\d+)-(\d+)$/.exec(name);
    if (!match) continue;
    const holder: LockHolder = { host: match[1]!, pid: Number(match[2]), start: match[3]! };
    if (isAlive(holder)) living.push(holder);
    else rmSync(join(folder, name), { force: true });
  }
  return living;
}

/** Whether a claimer still runs; on another host it cannot be known, so it counts as running. */
function isAlive(holder: LockHolder): boolean {
  if (holder.host !== safeHost()) return true;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if (codeOf(error) === "ESRCH") return false;
  }
  const start = startOf(holder.pid);
  return start === undefined || holder.start === "0" || start === holder.start;
}

/** A process's start time from /proc: "" for a zombie, undefined where there is no /proc. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // the name before may hold spaces; field 3 is first
    return fields[0] === "Z" || fields[0] === "X" ? "" : fields[19];
  } catch {
    return undefined;
  }
}

function claimName(holder: LockHolder): string {
  return `lock-${holder.host}-${holder.pid}-${holder.start}`;
}

function safeHost(): string {
  return hostname().replaceAll(/[^A-Za-z0-9._]/g, "_") || "host";
}

function inUse(folder: string, holder: LockHolder): InputError {
  const message = `run folder ${folder} is in use by process ${holder.pid}`;
  if (holder.host === safeHost()) return new InputError(`${message}; stop it first or choose another folder`);
  const file = join(folder, claimName(holder));
  return new InputError(`${message} on host ${holder.host}; if it no longer runs there, delete ${file}`);
}

function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
