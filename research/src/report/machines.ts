/** What the cells of a report were computed on, as a table: seconds mean nothing without it. */
import type { Section } from "tinyfusion";
import type { StoredCell } from "../cells/evidence.ts";

/** One row for each machine, number of threads and set of versions. */
export function machinesSection(cells: readonly StoredCell[]): Section {
  const groups = new Map<string, StoredCell[]>();
  for (const cell of cells) {
    const key = describedBy(cell).join("\n");
    groups.set(key, [...(groups.get(key) ?? []), cell]);
  }
  return {
    heading: "Machines",
    kind: "table",
    columns: ["processor", "threads", "versions", "first", "last", "cells"],
    rows: Array.from(groups.values(), (own) => {
      const days = own.map(({ machine }) => machine.date.slice(0, "2026-11-23".length)).sort();
      return [...describedBy(own[0]!), days[0]!, days.at(-1)!, own.length];
    }),
    caption:
      "Of the cells here and of those that they needed. Numbers are bit-equal only for equal machines, versions and threads.",
  };
}

function describedBy({ machine, versions }: StoredCell): [string, number, string] {
  const { processor, cores, memoryGiB, platform, threads } = machine;
  const names = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [`${cores} × ${processor}, ${memoryGiB} GiB, ${platform}`, threads, names.join(", ")];
}
