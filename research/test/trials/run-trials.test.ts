import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { openDevice } from "tinyfusion";
import { afterAll, describe, expect, test } from "vitest";
import { type Rates, secondsOf } from "../../src/cost-estimate.ts";
import { inOrder } from "../../src/studies/study.ts";
import { Results } from "../../src/trials/results.ts";
import { type RunState, runTrials } from "../../src/trials/run-trials.ts";
import { StudyContext, settingsSha256, type Trial, trialFile, withNeeds } from "../../src/trials/trial.ts";
import { lockTrial } from "../../src/trials/trial-lock.ts";

const folder = mkdtempSync(join(tmpdir(), "study-trials-"));
afterAll(() => rmSync(folder, { recursive: true }));

const contextIn = (name: string, signal = new AbortController().signal) => {
  const results = new Results(join(folder, name));
  const context = new StudyContext({
    engine: openDevice("cpu", { threads: 1 }),
    threads: 1,
    find: results.result,
    work: join(folder, "work"),
    versions: { tinyfusion: "0" },
    signal,
    note: () => undefined,
  });
  return { context, results };
};

/** A trial that adds its seed to what it needs, and says that it was computed. */
function adding(
  variant: string,
  seed: number,
  log: string[] = [],
  needs: readonly Trial<number>[] = [],
): Trial<number> {
  return {
    file: trialFile("sums", variant, seed),
    study: "sums",
    variant,
    seed,
    benchmark: "none",
    settings: { seed, steps: 3 },
    needs,
    work: { recoverySteps: 3 },
    compute: async (context) => {
      log.push(`${variant} ${seed}`);
      return needs.reduce((sum, need) => sum + context.result(need), seed);
    },
  };
}

describe("trials", () => {
  test("are identified by settings in whatever order, and by those of all that they need", () => {
    const trial = adding("a", 1);
    const sha256 = (settings: object, needs: readonly Trial<number>[] = []) =>
      settingsSha256({ ...trial, settings: settings as Trial["settings"], needs });
    const own = sha256({ a: 1, b: { c: [1, 2], d: 3 } });
    expect(sha256({ b: { d: 3, c: [1, 2] }, a: 1, e: undefined })).toBe(own);
    const others = [sha256({ a: 1, b: { c: [2, 1], d: 3 } }), sha256({ a: 1 }), sha256({ a: 1, b: 0 }, [trial])];
    others.push(sha256({ a: 1, b: 0 }, [{ ...trial, settings: { seed: 2 } }]));
    expect(new Set([own, ...others]).size).toBe(5);
  });

  test("come after what they need, each once; variants come seed by seed", () => {
    const mask = adding("mask", 0);
    const trials = withNeeds([adding("a", 0, [], [mask]), adding("b", 0, [], [mask])]);
    expect(trials.map(({ variant }) => variant)).toEqual(["mask", "a", "b"]);
    const variants = ["a", "b"].map((name) => ({ name, trials: [adding(name, 0), adding(name, 1)] }));
    expect(inOrder([...variants, variants[0]!]).map(({ variant, seed }) => `${variant}${seed}`)).toEqual([
      "a0",
      "b0",
      "a1",
      "b1",
    ]);
  });

  test("are estimated by each kind of work, and by a constant part if they have images", () => {
    const rates: Rates = { searchStep: 1, pass: 10, recoveryStep: 100, image: 1000, perRecoveredTrial: 5 };
    const trial = (work: Trial["work"]) => secondsOf({ ...adding("a", 0), work }, rates);
    expect(trial({ searchSteps: 2, passes: 3 })).toBe(32);
    expect(trial({ recoverySteps: 2, images: 4 })).toBe(4205);
  });
});

describe("running trials", () => {
  test("computes what is missing, what is needed first, and nothing twice", async () => {
    const log: string[] = [];
    const mask = adding("mask", 5, log);
    const trials = [adding("a", 1, log, [mask]), adding("b", 2, log, [mask])];
    expect(await runTrials({ ...contextIn("run"), trials: () => trials })).toBe(3);
    expect(log).toEqual(["mask 5", "a 1", "b 2"]);
    const stored = JSON.parse(readFileSync(join(folder, "run/sums/cells/a-s1.json"), "utf8"));
    expect(stored).toMatchObject({ study: "sums", arm: "a", seed: 1, result: 6, settings: { seed: 1, steps: 3 } });
    expect(stored.versions).toEqual({ tinyfusion: "0" });
    expect(await runTrials({ ...contextIn("run"), trials: () => trials })).toBe(0);
    expect(log).toHaveLength(3);
    const files = (name: string) => readdirSync(join(folder, name), { recursive: true, encoding: "utf8" });
    expect(files("run").filter((name) => name.endsWith(".json"))).toHaveLength(3);
    expect([...files("run"), ...files("work")].filter((name) => /lock-/.test(name))).toEqual([]);
    expect(files("work")).toContain(join("at-work", "sums", "cells", "a-s1"));
  });

  test("of which a file was damaged is refused, with what to do", async () => {
    const trial = adding("damaged", 7);
    await runTrials({ ...contextIn("damage"), trials: () => [trial] });
    const path = join(folder, "damage", trial.file);
    const text = readFileSync(path, "utf8");
    writeFileSync(path, text.replace('"result": 7', '"result": 3'));
    await expect(runTrials({ ...contextIn("damage"), trials: () => [trial] })).rejects.toThrow(
      `${path} is damaged: its content has not the checksum that it was written with; remove the file to compute it again`,
    );
    writeFileSync(path, text.slice(0, 60));
    await expect(runTrials({ ...contextIn("damage"), trials: () => [trial] })).rejects.toThrow(
      /remove the file to compute/,
    );
    const { checksum: _, ...earlier } = JSON.parse(text); // before there were checksums
    writeFileSync(path, JSON.stringify({ ...earlier, result: 3 }));
    expect(await runTrials({ ...contextIn("damage"), trials: () => [trial] })).toBe(0);
  });

  test("asks again after each trial, since results decide what comes next", async () => {
    const own = contextIn("asked");
    const log: string[] = [];
    const first = adding("first", 1, log);
    const trials = () => (own.results.find(first) ? [first, adding("second", 2, log)] : [first]);
    expect([await runTrials({ ...own, trials }), log]).toEqual([2, ["first 1", "second 2"]]);
  });

  test("stopped within a trial writes nothing of it, and continues there", async () => {
    const stop = new AbortController();
    const log: string[] = [];
    const trials = [adding("a", 0, log), adding("b", 0, log), adding("c", 0, log)];
    const compute = async () => {
      stop.abort(new Error("stopped"));
      return 1;
    };
    const stopping = { ...trials[1]!, compute };
    const own = contextIn("stopped", stop.signal);
    await expect(runTrials({ ...own, trials: () => [trials[0]!, stopping, trials[2]!] })).rejects.toThrow("stopped");
    expect(readdirSync(join(folder, "stopped/sums/cells"))).toEqual(["a-s0.json"]);
    // What a killed process leaves of a write.
    writeFileSync(join(folder, "stopped/sums/cells/.tmp-0123456789ab-b-s0.json"), "{");
    expect(await runTrials({ ...contextIn("stopped"), trials: () => trials })).toBe(2);
    expect(log).toEqual(["a 0", "b 0", "c 0"]);
    expect(readdirSync(join(folder, "stopped/sums/cells")).sort()).toEqual(["a-s0.json", "b-s0.json", "c-s0.json"]);
  });

  test("reports progress, and what is left by the times of trials of the same kind", async () => {
    const own = contextIn("times");
    const trials = [adding("a", 0), adding("b", 0), adding("c", 0)];
    await own.results.write(trials[0]!, 0, { seconds: 40, versions: {}, threads: 1 });
    const states: (RunState & { took: boolean })[] = [];
    const onTrial = (_: Trial, state: RunState, seconds?: number) =>
      void states.push({ ...state, took: seconds !== undefined });
    await runTrials({ ...own, trials: () => trials, onTrial });
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

  test("leaves a trial that another process computes, waits for it, and computes nothing twice", async () => {
    const log: string[] = [];
    const [first, second] = [adding("first", 1, log), adding("second", 2, log)];
    const last = adding("last", 3, log, [first]);
    const own = contextIn("shared");
    const release = lockTrial(own.context.settings.work, first)!;
    expect(lockTrial(own.context.settings.work, first)).toBeUndefined();
    const running = runTrials({ ...own, trials: () => [last, second] });
    while (log.length < 1) await delay(5);
    expect(log).toEqual(["second 2"]); // `last` needs the first, which another one is at
    await contextIn("shared").results.write(first, 1, { seconds: 1, versions: {}, threads: 1 });
    release();
    expect([await running, log]).toEqual([2, ["second 2", "last 3"]]);
  });

  test("times nothing while a process computes another trial, and begins nothing while one is timed", () => {
    const work = join(folder, "timed-work");
    const timed = { ...adding("speed", 0), isTimed: true };
    const release = lockTrial(work, adding("a", 0))!;
    expect(lockTrial(work, timed)).toBeUndefined();
    release();
    const releaseTimed = lockTrial(work, timed)!;
    expect([lockTrial(work, adding("a", 0)), lockTrial(work, { ...timed, file: "other" })]).toEqual([
      undefined,
      undefined,
    ]);
    releaseTimed();
    lockTrial(work, adding("a", 0))!();
  });

  test("times a trial last where other processes are at work", async () => {
    const log: string[] = [];
    const own = contextIn("timing");
    const timed = { ...adding("speed", 0, log), isTimed: true };
    const release = lockTrial(own.context.settings.work, adding("elsewhere", 0))!;
    const running = runTrials({ ...own, trials: () => [timed, adding("a", 0, log)] });
    while (log.length < 1) await delay(5);
    expect(log).toEqual(["a 0"]);
    release();
    expect([await running, log]).toEqual([2, ["a 0", "speed 0"]]);
  });

  test("takes over what a process at work left unfinished", async () => {
    const log: string[] = [];
    const own = contextIn("left");
    const trial = adding("a", 0, log);
    const release = lockTrial(own.context.settings.work, trial)!;
    const running = runTrials({ ...own, trials: () => [trial] });
    await delay(20);
    expect(log).toEqual([]);
    release();
    expect([await running, log]).toEqual([1, ["a 0"]]);
  });

  test("stops while it waits", async () => {
    const stop = new AbortController();
    const own = contextIn("waiting", stop.signal);
    const release = lockTrial(own.context.settings.work, adding("b", 0))!;
    const running = runTrials({ ...own, trials: () => [adding("b", 0)] });
    stop.abort(new Error("stopped"));
    await expect(running).rejects.toThrow("stopped");
    release();
  });
});

describe("results", () => {
  test("of other settings is refused, naming them; so are settings of needs, and other files", async () => {
    const mask = adding("mask", 0);
    const trial = adding("a", 0, [], [mask]);
    await runTrials({ ...contextIn("other"), trials: () => [trial] });
    const find = (changed: Trial) => new Results(join(folder, "other")).find(changed);
    const path = join(folder, "other/sums/cells/a-s0.json");
    expect(() => find({ ...trial, settings: { seed: 0, steps: 4, rate: 1 } })).toThrow(
      `${path}: expected a trial with the settings of this command, found another rate, steps; choose another --out, or remove`,
    );
    expect(() => find({ ...trial, needs: [{ ...mask, settings: {} }] })).toThrow(
      /found another settings of trials that it/,
    );
    writeFileSync(path, "[]");
    expect(() => find(trial)).toThrow(
      `${path}: expected the trial sums, a, seed 0, found another content; remove the file`,
    );
  });
});
