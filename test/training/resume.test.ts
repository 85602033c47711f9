/** A run that is killed, stopped or left half-written goes on as if nothing had happened, bit for bit. */
import { appendFileSync, cpSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, describe, expect, it } from "vitest";
import { integers } from "../../src/array/random.ts";
import { BuiltCli } from "./built-cli.ts";

const cli = new BuiltCli();
afterAll(() => cli.remove());

const STEPS = 24;
const saving = ["--save-every", "3"];
const trainArgs = (out: string, steps = STEPS) =>
  cli.train(out, ...saving, "--steps", String(steps), "--learning-rate", "1e-3", "--label-drop", "0.2");
const teacher = cli.at("whole-train/checkpoints", `step-${String(STEPS).padStart(8, "0")}`, "ema.safetensors");
const pruned = cli.at("whole-prune/pruned.safetensors");
const steps = ["--steps", String(STEPS)];

/** Commands that can be killed and started again, each needing what the ones before it wrote. */
const commands: Readonly<Record<string, (out: string) => string[]>> = {
  train: (out) => trainArgs(out),
  prune: (out) => ["prune", teacher, "--out", cli.at(out), "--groups", "1:2", ...cli.common, ...saving, ...steps],
  finetune: (out) => [
    "finetune",
    pruned,
    "--teacher",
    teacher,
    "--out",
    cli.at(out),
    ...cli.common,
    ...saving,
    ...steps,
  ],
};

const KILLS = 4;
/** When kill number i comes: after so many logged steps, and so many milliseconds more. */
function killMoments(command: string): { after: number; ms: number }[] {
  const draw = (purpose: string, bound: number) =>
    integers({ seed: 11, purpose: `${purpose} of ${command}`, step: 0, index: 0 }, KILLS, bound);
  const [after, ms] = [draw("steps", 9), draw("milliseconds", 30)];
  // One comes while the process starts, before there is any step.
  return Array.from(after, (steps, i) => (i === 1 ? { after: 0, ms: 20 * ms[i]! } : { after: steps + 1, ms: ms[i]! }));
}

const stepLine = /^step \d+\//;

describe.each(Object.keys(commands))("%s", (command) => {
  const whole = `whole-${command}`;

  it("runs undisturbed", async () => {
    const { code, stderr } = await cli.run(commands[command]!(whole));
    expect(code, stderr).toBe(0);
    expect(cli.metrics(whole).map(({ step }) => step)).toEqual(Array.from({ length: STEPS }, (_, k) => k + 1));
  }, 30_000);

  it(`killed ${KILLS} times and resumed, ends with the same bits`, async () => {
    const out = `killed-${command}`;
    const seen: string[] = [];
    for (const { after, ms } of killMoments(command)) {
      const started = cli.start(commands[command]!(out));
      await started.lines(stepLine, after);
      await pause(ms);
      started.child.kill("SIGKILL");
      const { code, stderr } = await started.ended;
      seen.push(`${code ?? "killed"} after ${stderr.trimEnd().split("\n").at(-1)?.slice(0, 20)}`);
    }
    expect(seen.filter((text) => text.startsWith("killed")).length, seen.join("; ")).toBeGreaterThanOrEqual(2);
    const { code, stderr } = await cli.run(commands[command]!(out));
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/resumed at step [1-9]/);
    expect(cli.results(out)).toEqual(cli.results(whole));
    expect(cli.metrics(out)).toEqual(cli.metrics(whole));
    expect(readdirSync(cli.at(out)).filter((name) => /^(\.tmp|lock)-/.test(name))).toEqual([]);
  }, 60_000);
});

describe("a run that is stopped", () => {
  it("by Ctrl-C saves its step, exits with 130 and goes on from there", async () => {
    const started = cli.start(trainArgs("stopped"));
    await started.lines(stepLine, 4);
    started.child.kill("SIGINT");
    const { code, stdout, stderr } = await started.ended;
    expect(code, stderr).toBe(130);
    const step = Number(/^stopped at step (\d+); the same command resumes$/m.exec(stdout)?.[1]);
    expect(cli.checkpoints("stopped").at(-1)).toBe(`step-${String(step).padStart(8, "0")}`);
    expect(step).toBeLessThan(STEPS);
    const resumed = await cli.run(trainArgs("stopped"));
    expect(resumed.stderr).toContain(`resumed at step ${step} of ${STEPS}`);
    expect(cli.results("stopped")).toEqual(cli.results("whole-train"));
    expect(cli.metrics("stopped")).toEqual(cli.metrics("whole-train"));
  }, 30_000);

  it("between writing and renaming leaves nothing that counts", async () => {
    cpSync(cli.at("whole-train"), cli.at("torn"), { recursive: true });
    const [older, last] = cli.checkpoints("torn") as [string, string];
    // As a kill leaves it: the next checkpoint written, but not renamed; the metrics a step ahead and torn.
    const temporary = cli.at("torn/checkpoints", `.tmp-0123456789ab-${last}`);
    renameSync(cli.at("torn/checkpoints", last), temporary);
    writeFileSync(`${temporary}/.tmp-ba9876543210-optimizer.safetensors`, "half of it");
    writeFileSync(cli.at("torn/.tmp-00112233aabb-config.json"), "{");
    appendFileSync(cli.at("torn/metrics.jsonl"), '{"step":99,"images":594,"loss":0.1}\n{"step":100,"ima');
    const { code, stderr } = await cli.run(trainArgs("torn"));
    expect(code, stderr).toBe(0);
    expect(stderr).toContain(`resumed at step ${Number(older.slice(5))} of`);
    expect(cli.results("torn")).toEqual(cli.results("whole-train"));
    expect(cli.metrics("torn")).toEqual(cli.metrics("whole-train"));
    expect(readdirSync(cli.at("torn"), { recursive: true }).filter((name) => String(name).includes(".tmp-"))).toEqual(
      [],
    );
  }, 30_000);
});

describe("a folder that holds a run", () => {
  it("refuses other settings and names them all", async () => {
    const before = readFileSync(cli.at("whole-train/config.json"), "utf8");
    const { code, stderr } = await cli.run([...trainArgs("whole-train"), "--batch-size", "8", "--seed", "5"]);
    expect(code).toBe(1);
    expect(stderr).toContain("holds a run with other settings (batchSize: was 6, now 8; seed: was 0, now 5)");
    expect(stderr.trimEnd().split("\n").length).toBe(1);
    expect(readFileSync(cli.at("whole-train/config.json"), "utf8")).toBe(before);
  }, 20_000);

  it("refuses other steps, and is lengthened by --extend to what a longer run would be", async () => {
    const [short, long] = [12, STEPS];
    await cli.run(trainArgs("extended", short));
    const { code, stderr } = await cli.run(trainArgs("extended", long));
    expect(code).toBe(1);
    expect(stderr).toMatch(/steps: was 12, now 24.*--extend/);
    const extended = await cli.run([...trainArgs("extended", long), "--extend"]);
    expect(extended.code, extended.stderr).toBe(0);
    expect(cli.results("extended")).toEqual(cli.results("whole-train"));
    const shortened = await cli.run([...trainArgs("extended", short), "--extend"]);
    expect(shortened.code).toBe(1);
    expect(shortened.stderr).toMatch(/steps: was 24, now 12/);
  }, 30_000);

  it("is one process's own: a second one is told who has it", async () => {
    const first = cli.start(trainArgs("busy", 100_000));
    await first.lines(stepLine, 1);
    const { code, stderr } = await cli.run(trainArgs("busy", 100_000));
    expect(code).toBe(1);
    expect(stderr).toBe(
      `tinyfusion: run folder ${cli.at("busy")} is in use by process ${first.child.pid}; stop it first or choose another folder\n`,
    );
    expect(first.child.exitCode).toBe(null);
    first.child.kill("SIGKILL");
    await first.ended;
  }, 20_000);
});
