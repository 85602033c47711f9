/** What a report says of cells that were not all computed alike. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { machineNow } from "../../../src/evaluation/speed/timing.ts";
import type { TimedCell } from "../../../src/tasks/pareto/cell.ts";
import { writeReport } from "../../../src/tasks/pareto/report.ts";

const folder = mkdtempSync(join(tmpdir(), "pareto-report-"));
afterAll(() => rmSync(folder, { recursive: true }));

const machine = machineNow(1);
const cell = (id: string, versions: Readonly<Record<string, string>>): TimedCell => ({
  ...{ id, metric: "FD", score: { estimate: 3, standardError: 0.1, more: {} }, judgedBy: { network: "digits" } },
  model: { name: "4 blocks", path: "a", sha256: "00", weights: "ema", images: 9, blocks: 4, parameters: 12 },
  ...{ settings: { steps: "ddim5", sampler: "ddim", count: 9, batch: 2, seed: id }, derived: {}, versions, machine },
  ...{ compileSeconds: 1, macsPerImage: 1e9, secondsPerImage: 2 },
  seconds: { median: 2, least: 1, most: 3, rounds: 3 },
});

/** The rows of the table of settings, by what they are of. */
async function settingsOf(...results: readonly TimedCell[]): Promise<Record<string, string>> {
  await writeReport({ results, machine }, { command: "again", out: folder });
  const page = readFileSync(join(folder, "report.html"), "utf8");
  return Object.fromEntries(
    Array.from(page.matchAll(/<tr><td>([^<]*)<\/td><td>([^<]*)<\/td><\/tr>/g), ([, what, value]) => [what, value]),
  );
}

test("versions are those of all cells, and where they differ it says so", async () => {
  const same = await settingsOf(cell("a", { tinyfusion: "1", node: "20" }), cell("b", { tinyfusion: "1", node: "20" }));
  expect(same).toMatchObject({ tinyfusion: "1", node: "20" });
  const mixed = await settingsOf(
    cell("a", { tinyfusion: "1", node: "20" }),
    cell("b", { tinyfusion: "1", node: "22" }),
  );
  expect(mixed).toMatchObject({ tinyfusion: "1", node: "differs between cells: 20, 22", steps: "ddim5" });
  expect(mixed).not.toHaveProperty("seed");
  expect(await settingsOf(cell("a", {}), cell("b", { node: "22" }))).toMatchObject({
    node: "differs between cells: not noted, 22",
  });
});
