import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { appendLine, readLines, truncateLines } from "../../src/storage/append-lines.ts";

let folder = "";
let path = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tinyfusion-"));
  path = join(folder, "metrics.jsonl");
});
afterEach(() => rmSync(folder, { recursive: true }));

const stepOf = (record: unknown) => (record as { step: number }).step;

test("records are appended one a line", () => {
  appendLine(path, { step: 0, note: "two\nlines" });
  appendLine(path, { step: 1 });
  expect(readFileSync(path, "utf8")).toBe('{"step":0,"note":"two\\nlines"}\n{"step":1}\n');
  expect(readLines(path).map(stepOf)).toEqual([0, 1]);
});

test("a line torn by a crash spoils neither its neighbours nor the next append", () => {
  appendLine(path, { step: 0 });
  appendFileSync(path, '{"step": 1, "lo');
  appendLine(path, { step: 2 });
  expect(readLines(path).map(stepOf)).toEqual([0, 2]);
});

test("cutting back keeps chosen lines byte for byte and drops torn ones", async () => {
  appendFileSync(path, '{"step": 0}\n{"step":1}\n{"step":2}\n{"st');
  await truncateLines(path, (record) => stepOf(record) < 2);
  expect(readFileSync(path, "utf8")).toBe('{"step": 0}\n{"step":1}\n');
});

test("a file that does not exist reads as empty and stays absent", async () => {
  expect(readLines(path)).toEqual([]);
  await truncateLines(path, () => true);
  expect(() => readFileSync(path)).toThrow();
});

test("a folder that does not exist gives an InputError with the path", () => {
  expect(() => appendLine(join(folder, "no", "x.jsonl"), {})).toThrow(InputError);
  expect(() => appendLine(join(folder, "no", "x.jsonl"), {})).toThrow(/append 3 bytes to .*x\.jsonl/);
});

test.runIf(process.platform === "linux")("a full disk gives an InputError with path, bytes and remedy", () => {
  expect(() => appendLine("/dev/full", { step: 1 })).toThrow(InputError);
  expect(() => appendLine("/dev/full", { step: 1 })).toThrow(/append 11 bytes to \/dev\/full: the disk is full; free/);
});
