/** The demo of the package that npm would publish, in an empty folder. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Packed } from "./packed.ts";

let packed: Packed;
beforeAll(() => {
  packed = new Packed();
});
afterAll(() => packed?.remove());

test("npx tinyfusion demo --quick computes everything and writes a report; a second call finds it", () => {
  const args = ["demo", "--quick", "--threads", "1"];
  const { status, stdout, stderr } = packed.tinyfusion(...args);
  expect(status, stderr).toBe(0);
  expect(stdout).toMatch(/14 of 28 layers, .* as fast\. Label accuracy: teacher .*\nreport: runs.demo.report\.html\n$/);
  const report = readFileSync(join(packed.project, "runs/demo/report.html"), "utf8");
  expect(report.match(/data:image\/png/g)?.length).toBeGreaterThanOrEqual(3);
  for (const name of ["search/decision.json", "search/pruned.safetensors", "shallow.safetensors"]) {
    expect(existsSync(join(packed.project, "runs/demo", name)), name).toBe(true);
  }
  expect(packed.tinyfusion(...args).stdout).toMatch(/is there already\. To start over, delete runs.demo/);
});
