import { expect, test } from "vitest";
import { machinesSection } from "../../src/report/write-report.ts";
import type { StoredTrial } from "../../src/trials/results.ts";

const trial = (threads: number, date: string, version = "1"): StoredTrial => ({
  study: "sums",
  arm: "a",
  seed: 0,
  settingsSha256: "",
  settings: {},
  result: 1,
  seconds: 1,
  machine: { processor: "Good One", cores: 2, memoryGiB: 24, platform: "linux x64", threads, date },
  versions: { tinyfusion: "0", node: version },
});

test("machines, threads and versions of trials are one row each, with first and last day and how many trials", () => {
  const trials = [
    trial(2, "2026-11-24T01:00:00.000Z"),
    trial(1, "2026-11-24T02:00:00.000Z"),
    trial(2, "2026-11-23T23:00:00.000Z"),
    trial(2, "2026-11-25T01:00:00.000Z", "2"),
  ];
  const processor = "2 × Good One, 24 GiB, linux x64";
  expect((machinesSection(trials) as unknown as { rows: unknown[] }).rows).toEqual([
    [processor, 2, "tinyfusion 0, node 1", "2026-11-23", "2026-11-24", 2],
    [processor, 1, "tinyfusion 0, node 1", "2026-11-24", "2026-11-24", 1],
    [processor, 2, "tinyfusion 0, node 2", "2026-11-25", "2026-11-25", 1],
  ]);
});
