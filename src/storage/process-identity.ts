/** The identity of this process: host, process number, and the namespace and boot that give the number its meaning. */

import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

export interface ProcessIdentity {
  /** The host's name, without characters that file names or claims cannot have. */
  readonly host: string;
  /** As its own pid namespace counts. */
  readonly pid: number;
  /** The kernel's start time of the process in clock ticks since boot; "0" where there is no /proc. */
  readonly start: string;
  /** Number of its pid namespace; "0" where there is no /proc. */
  readonly namespace: string;
  /** Id of this run of the kernel, in hexadecimal; "0" where there is no /proc. */
  readonly boot: string;
}

let self: ProcessIdentity | undefined;

/** This process. */
export function thisProcess(): ProcessIdentity {
  self ??= {
    host: hostname().replaceAll(/[^A-Za-z0-9._]/g, "_") || "host",
    pid: process.pid,
    start: startOf("self") ?? "0",
    namespace: orZero(() => /\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0]),
    boot: orZero(() => readFileSync("/proc/sys/kernel/random/boot_id", "latin1").replaceAll(/[^0-9a-f]/g, "")),
  };
  return self;
}

function orZero(read: () => string | undefined): string {
  try {
    return read() || "0";
  } catch {
    return "0";
  }
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
