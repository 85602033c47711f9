import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { cpuEngine } from "tinyfusion";
import { afterAll, describe, expect, test } from "vitest";
import { type Rates, secondsOf } from "../../src/cost-estimate.ts";
import { inOrder } from "../../src/studies/study.ts";
import { Evidence } from "../../src/trials/results.ts";
import { type RunState, runCells } from "../../src/trials/run-trials.ts";
import { type Cell, cellFile, Lab, settingsSha256, withNeeds } from "../../src/trials/trial.ts";
import { lockCell } from "../../src/trials/trial-lock.ts";

const folder = mkdtempSync(join(tmpdir(), "study-cells-"));
afterAll(() => rmSync(folder, { recursive: true }));

const labIn = (name: string, signal = new AbortController().signal): Lab =>
  new Lab({
    engine: cpuEngine({ threads: 1 }),
    threads: 1,
    work: join(folder, "work"),
    versions: { tinyfusion: "0" },
    evidence: new Evidence(join(folder, name)),
    signal,
    note: () => undefined,
  });

/** A cell that adds its seed to what it needs, and says that it was computed. */
function adding(arm: string, seed: number, log: string[] = [], needs: readonly Cell<number>[] = []): Cell<number> {
  return {
    file: cellFile("sums", arm, seed),
    study: "sums",
    arm,
    seed,
    subject: "none",
    settings: { seed, steps: 3 },
    needs,
    work: { recoverySteps: 3 },
    compute: async (lab) => {
      log.push(`${arm} ${seed}`);
      return needs.reduce((sum, need) => sum + lab.result(need), seed);
    },
  };
}

describe("cells", () => {
  test("are identified by settings in whatever order, and by those of all that they need", () => {
    const cell = adding("a", 1);
    const sha256 = (settings: object, needs: readonly Cell<number>[] = []) =>
      settingsSha256({ ...cell, settings: settings as Cell["settings"], needs });
    const own = sha256({ a: 1, b: { c: [1, 2], d: 3 } });
    expect(sha256({ b: { d: 3, c: [1, 2] }, a: 1, e: undefined })).toBe(own);
    const others = [sha256({ a: 1, b: { c: [2, 1], d: 3 } }), sha256({ a: 1 }), sha256({ a: 1, b: 0 }, [cell])];
    others.push(sha256({ a: 1, b: 0 }, [{ ...cell, settings: { seed: 2 } }]));
    expect(new Set([own, ...others]).size).toBe(5);
  });

  test("stand behind what they need, each once; arms come seed by seed", () => {
    const mask = adding("mask", 0);
    const cells = withNeeds([adding("a", 0, [], [mask]), adding("b", 0, [], [mask])]);
    expect(cells.map(({ arm }) => arm)).toEqual(["mask", "a", "b"]);
    const arms = ["a", "b"].map((name) => ({ name, cells: [adding(name, 0), adding(name, 1)] }));
    expect(inOrder([...arms, arms[0]!]).map(({ arm, seed }) => `${arm}${seed}`)).toEqual(["a0", "b0", "a1", "b1"]);
  });

  test("take what a pilot says of each kind of work, and images what comes once a cell", () => {
    const rates: Rates = { searchStep: 1, pass: 10, recoveryStep: 100, image: 1000, perRecoveredCell: 5 };
    const cell = (work: Cell["work"]) => secondsOf({ ...adding("a", 0), work }, rates);
    expect(cell({ searchSteps: 2, passes: 3 })).toBe(32);
    expect(cell({ recoverySteps: 2, images: 4 })).toBe(4205);
  });
});

describe("running cells", () => {
  test("computes what is missing, what is needed first, and nothing twice", async () => {
    const log: string[] = [];
    const mask = adding("mask", 5, log);
    const cells = [adding("a", 1, log, [mask]), adding("b", 2, log, [mask])];
    expect(await runCells({ lab: labIn("run"), cells: () => cells })).toBe(3);
    expect(log).toEqual(["mask 5", "a 1", "b 2"]);
    const stored = JSON.parse(readFileSync(join(folder, "run/sums/cells/a-s1.json"), "utf8"));
    expect(stored).toMatchObject({ study: "sums", arm: "a", seed: 1, result: 6, settings: { seed: 1, steps: 3 } });
    expect(stored.versions).toEqual({ tinyfusion: "0" });
    expect(await runCells({ lab: labIn("run"), cells: () => cells })).toBe(0);
    expect(log).toHaveLength(3);
    const files = (name: string) => readdirSync(join(folder, name), { recursive: true, encoding: "utf8" });
    expect(files("run").filter((name) => name.endsWith(".json"))).toHaveLength(3);
    expect([...files("run"), ...files("work")].filter((name) => /lock-/.test(name))).toEqual([]);
    expect(files("work")).toContain(join("at-work", "sums", "cells", "a-s1"));
  });

  test("of which a file was damaged is refused, with what to do", async () => {
    const cell = adding("damaged", 7);
    await runCells({ lab: labIn("damage"), cells: () => [cell] });
    const path = join(folder, "damage", cell.file);
    const text = readFileSync(path, "utf8");
    writeFileSync(path, text.replace('"result": 7', '"result": 3'));
    await expect(runCells({ lab: labIn("damage"), cells: () => [cell] })).rejects.toThrow(
      `${path} is damaged: its content has not the checksum that it was written with; remove the file to compute it again`,
    );
    writeFileSync(path, text.slice(0, 60));
    await expect(runCells({ lab: labIn("damage"), cells: () => [cell] })).rejects.toThrow(/remove the file to compute/);
    const { checksum: _, ...earlier } = JSON.parse(text); // before there were checksums
    writeFileSync(path, JSON.stringify({ ...earlier, result: 3 }));
    expect(await runCells({ lab: labIn("damage"), cells: () => [cell] })).toBe(0);
  });

  test("asks again after each cell, since results decide what comes next", async () => {
    const lab = labIn("asked");
    const log: string[] = [];
    const first = adding("first", 1, log);
    const cells = () => (lab.settings.evidence.find(first) ? [first, adding("second", 2, log)] : [first]);
    expect([await runCells({ lab, cells }), log]).toEqual([2, ["first 1", "second 2"]]);
  });

  test("stopped within a cell writes nothing of it, and goes on there", async () => {
    const stop = new AbortController();
    const log: string[] = [];
    const cells = [adding("a", 0, log), adding("b", 0, log), adding("c", 0, log)];
    const compute = async () => {
      stop.abort(new Error("stopped"));
      return 1;
    };
    const stopping = { ...cells[1]!, compute };
    const lab = labIn("stopped", stop.signal);
    await expect(runCells({ lab, cells: () => [cells[0]!, stopping, cells[2]!] })).rejects.toThrow("stopped");
    expect(readdirSync(join(folder, "stopped/sums/cells"))).toEqual(["a-s0.json"]);
    // What a killed process leaves of a write.
    writeFileSync(join(folder, "stopped/sums/cells/.tmp-0123456789ab-b-s0.json"), "{");
    expect(await runCells({ lab: labIn("stopped"), cells: () => cells })).toBe(2);
    expect(log).toEqual(["a 0", "b 0", "c 0"]);
    expect(readdirSync(join(folder, "stopped/sums/cells")).sort()).toEqual(["a-s0.json", "b-s0.json", "c-s0.json"]);
  });

  test("tells how far it is, and what is left by the times of cells of the same kind", async () => {
    const lab = labIn("times");
    const cells = [adding("a", 0), adding("b", 0), adding("c", 0)];
    await lab.settings.evidence.write(cells[0]!, 0, { seconds: 40, versions: {}, threads: 1 });
    const states: (RunState & { took: boolean })[] = [];
    const onCell = (_: Cell, state: RunState, seconds?: number) =>
      void states.push({ ...state, took: seconds !== undefined });
    await runCells({ lab, cells: () => cells, onCell });
    expect(states.map(({ done, of, took }) => [done, of, took])).toEqual([
      [1, 3, false],
      [2, 3, true],
      [2, 3, false],
      [3, 3, true],
    ]);
    expect(states[0]!.secondsLeft).toBe(80);
    expect(states[1]!.secondsLeft).toBeCloseTo(20, 0); // the mean of 40 and next to nothing
    expect(states[3]!.secondsLeft).toBe(0);
  });

  test("leaves a cell that another process is at, waits for it, and computes nothing twice", async () => {
    const log: string[] = [];
    const [first, second] = [adding("first", 1, log), adding("second", 2, log)];
    const last = adding("last", 3, log, [first]);
    const lab = labIn("shared");
    const release = lockCell(lab.settings.work, first)!;
    expect(lockCell(lab.settings.work, first)).toBeUndefined();
    const running = runCells({ lab, cells: () => [last, second] });
    while (log.length < 1) await delay(5);
    expect(log).toEqual(["second 2"]); // `last` needs the first, which another one is at
    await labIn("shared").settings.evidence.write(first, 1, { seconds: 1, versions: {}, threads: 1 });
    release();
    expect([await running, log]).toEqual([2, ["second 2", "last 3"]]);
  });

  test("times nothing while a process is at another cell, and begins nothing while one is timed", () => {
    const work = join(folder, "timed-work");
    const timed = { ...adding("speed", 0), isTimed: true };
    const release = lockCell(work, adding("a", 0))!;
    expect(lockCell(work, timed)).toBeUndefined();
    release();
    const releaseTimed = lockCell(work, timed)!;
    expect([lockCell(work, adding("a", 0)), lockCell(work, { ...timed, file: "other" })]).toEqual([
      undefined,
      undefined,
    ]);
    releaseTimed();
    lockCell(work, adding("a", 0))!();
  });

  test("times a cell last where other processes are at work", async () => {
    const log: string[] = [];
    const lab = labIn("timing");
    const timed = { ...adding("speed", 0, log), isTimed: true };
    const release = lockCell(lab.settings.work, adding("elsewhere", 0))!;
    const running = runCells({ lab, cells: () => [timed, adding("a", 0, log)] });
    while (log.length < 1) await delay(5);
    expect(log).toEqual(["a 0"]);
    release();
    expect([await running, log]).toEqual([2, ["a 0", "speed 0"]]);
  });

  test("takes over what a process at work left unfinished", async () => {
    const log: string[] = [];
    const lab = labIn("left");
    const cell = adding("a", 0, log);
    const release = lockCell(lab.settings.work, cell)!;
    const running = runCells({ lab, cells: () => [cell] });
    await delay(20);
    expect(log).toEqual([]);
    release();
    expect([await running, log]).toEqual([1, ["a 0"]]);
  });

  test("stops while it waits", async () => {
    const stop = new AbortController();
    const lab = labIn("waiting", stop.signal);
    const release = lockCell(lab.settings.work, adding("b", 0))!;
    const running = runCells({ lab, cells: () => [adding("b", 0)] });
    stop.abort(new Error("stopped"));
    await expect(running).rejects.toThrow("stopped");
    release();
  });
});

describe("evidence", () => {
  test("of other settings is refused, naming them; so are settings of needs, and other files", async () => {
    const mask = adding("mask", 0);
    const cell = adding("a", 0, [], [mask]);
    await runCells({ lab: labIn("other"), cells: () => [cell] });
    const find = (changed: Cell) => new Evidence(join(folder, "other")).find(changed);
    const path = join(folder, "other/sums/cells/a-s0.json");
    expect(() => find({ ...cell, settings: { seed: 0, steps: 4, rate: 1 } })).toThrow(
      `${path}: expected a cell with the settings of this command, found another rate, steps; choose another --out, or remove`,
    );
    expect(() => find({ ...cell, needs: [{ ...mask, settings: {} }] })).toThrow(
      /found another settings of cells that it/,
    );
    writeFileSync(path, "[]");
    expect(() => find(cell)).toThrow(
      `${path}: expected the cell sums, a, seed 0, found another content; remove the file`,
    );
  });
});
