/** Taking a run folder and giving it back: a start that fails removes what it made, and nothing else. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { RunFolder } from "../../src/training/run-folder.ts";

let base = "";
const at = (...path: string[]): string => join(base, ...path);
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "run-folder-"));
});
afterEach(() => rmSync(base, { recursive: true }));

const settings = { command: "count", steps: 4, rate: 1 };

test("a new folder goes again with its parents, but not with what others have in them", async () => {
  const first = RunFolder.open(at("a/b/run"));
  await first.acquire(settings);
  await first.abandon();
  expect(readdirSync(base)).toEqual([]);

  const second = RunFolder.open(at("a/b/run"));
  await second.acquire(settings);
  writeFileSync(at("a/other.txt"), "");
  await second.abandon();
  expect(readdirSync(base, { recursive: true }).sort()).toEqual(["a", "a/other.txt"]);
});

test("an existing folder keeps what was in it, and loses named results that were not", async () => {
  mkdirSync(at("run"));
  writeFileSync(at("run/notes.txt"), "mine");
  const folder = RunFolder.open(at("run"));
  await folder.acquire(settings);
  writeFileSync(at("run/widths.json"), "new");
  await folder.abandon(["widths.json", "pruned.safetensors"]);
  expect(readdirSync(at("run"))).toEqual(["notes.txt"]);
});

test("a run that was there keeps its settings as they were, and its results", async () => {
  const first = RunFolder.open(at("run"));
  await first.acquire(settings);
  await first.save(9, { files: {}, metadata: {}, state: {} }, 1);
  first.close();
  writeFileSync(at("run/pruned.safetensors"), "result");
  const before = readFileSync(at("run/config.json"), "utf8");
  const second = RunFolder.open(at("run"));
  await second.acquire({ ...settings, steps: 9 }, { extend: "keep" });
  expect(readFileSync(at("run/config.json"), "utf8")).not.toBe(before);
  await second.abandon(["pruned.safetensors"]);
  expect(readFileSync(at("run/config.json"), "utf8")).toBe(before);
  expect(readdirSync(at("run")).sort()).toEqual(["checkpoints", "config.json", "pruned.safetensors"]);
});

test("a folder that is another's is left alone: what is new in it is that one's", async () => {
  const owner = RunFolder.open(at("new/run"));
  expect(() => RunFolder.open(at("new/run"))).toThrow("in use by process");
  await owner.acquire(settings);
  owner.close();
  const late = RunFolder.open(at("new/run"));
  await expect(late.acquire({ ...settings, rate: 2 })).rejects.toThrow(/other settings \(rate: was 1, now 2\)/);
  await late.abandon(["config.json"]);
  expect(JSON.parse(readFileSync(at("new/run/config.json"), "utf8"))).toEqual(settings);
  expect(existsSync(at("new/run/checkpoints"))).toBe(true);
});
