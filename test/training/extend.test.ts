/** Runs that are lengthened: what schedules do then, what is said of it, and that a resumed run does the same. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { learnDefaults } from "../../src/pruning/learn.ts";
import { maskSchedules } from "../../src/pruning/mask-learning.ts";
import { finetuneDefaults, finetuneSchedules } from "../../src/training/finetune.ts";
import { BuiltCli } from "./built-cli.ts";

describe("the schedules of a run", () => {
  const cosine = (k: number, total: number) => 1e-4 + 1e-4 * 0.5 * (1 + Math.cos((Math.PI * k) / total));

  it("that keeps them are those of the planned steps, and their last values from there on", () => {
    const settings = { ...finetuneDefaults, steps: 30, scheduleSteps: 10 };
    for (let k = 0; k < 30; k++) {
      const planned = Math.min(k, 9);
      const { learningRate, beta } = finetuneSchedules(settings, k);
      expect(learningRate).toBeCloseTo(cosine(planned, 10), 12);
      expect(beta).toBeCloseTo(1e-2 * (1 - planned / 9), 12);
      expect({ learningRate, beta }).toEqual(finetuneSchedules({ ...finetuneDefaults, steps: 10 }, planned));
    }
  });

  it("that is planned anew are those of all its steps", () => {
    const settings = { ...finetuneDefaults, steps: 30 };
    for (const k of [0, 9, 10, 29]) {
      const { learningRate, beta } = finetuneSchedules(settings, k);
      expect(learningRate).toBeCloseTo(cosine(k, 30), 12);
      expect(beta).toBeCloseTo(1e-2 * (1 - k / 29), 12);
    }
  });

  it("of gates keep temperature, scale, and a rate with a span and a rise of its own", () => {
    const gateLearningRate = { base: 1e-2, kind: "cosine", final: 0, warmupSteps: 3, span: 0.5 } as const;
    const settings = { ...learnDefaults, gateLearningRate, scale: [100, 200], steps: 40, scheduleSteps: 20 } as const;
    for (let k = 0; k < 40; k++) {
      const planned = Math.min(k, 19);
      const found = maskSchedules(settings, k);
      expect(found.tau).toBeCloseTo(4 - (3.9 * planned) / 19, 12);
      expect(found.scale).toBeCloseTo(100 + (100 * planned) / 19, 12);
      const fall = 0.5 * (1 + Math.cos(Math.PI * Math.min(1, planned / 10)));
      expect(found.gateLearningRate).toBeCloseTo(1e-2 * fall * Math.min(1, (planned + 1) / 4), 12);
    }
  });
});

describe("--extend", () => {
  const cli = new BuiltCli();
  afterAll(() => cli.remove());
  const rates = ["--learning-rate", "1e-3", "--lr-schedule", "cosine", "--save-every", "2"];
  const train = (out: string, steps: number, ...more: string[]) =>
    cli.train(out, ...rates, "--steps", String(steps), ...more);
  const ok = async (args: string[]) => {
    const ended = await cli.run(args);
    expect(ended.code, ended.stderr).toBe(0);
    return ended;
  };
  const learned = (out: string) => cli.metrics(out).map(({ learningRate }) => learningRate!);
  const cosine = (k: number, total: number) => 1e-3 * 0.5 * (1 + Math.cos((Math.PI * k) / total));
  const closeTo = (values: number[]) => values.map((x) => expect.closeTo(x, 10));

  beforeAll(async () => {
    for (const out of ["keep", "rewind", "bare"]) await ok(train(out, 6));
  });

  it("keep goes on at the last value, says so, and is repeated by a run that was killed and resumed without it", async () => {
    const { stderr } = await ok(train("keep", 10, "--extend", "keep"));
    expect(stderr).toMatch(
      /^--extend keep: schedules were planned for 6 steps and then keep their last values \(learningRate 0.00006699\)$/m,
    );
    const planned = [0, 1, 2, 3, 4, 5, 5, 5, 5, 5].map((k) => cosine(k, 6));
    expect(learned("keep")).toEqual(closeTo(planned));
    expect(JSON.parse(readFileSync(cli.at("keep/config.json"), "utf8"))).toMatchObject({ steps: 10, scheduleSteps: 6 });

    await ok(train("killed", 6));
    const started = cli.start([...train("killed", 10), "--extend", "keep"]);
    await started.lines(/^step \d+\//, 2);
    started.child.kill("SIGKILL");
    await started.ended;
    await ok(train("killed", 10));
    expect(cli.results("killed")).toEqual(cli.results("keep"));
    expect(cli.metrics("killed")).toEqual(cli.metrics("keep"));
  }, 60_000);

  it("keep again keeps the values of the first plan; rewind after it plans all steps anew", async () => {
    await ok(train("keep", 12, "--extend", "keep"));
    expect(learned("keep").slice(10)).toEqual(closeTo([cosine(5, 6), cosine(5, 6)]));
    const { stderr } = await ok(train("keep", 14, "--extend", "rewind"));
    expect(stderr).toMatch(/in step 13 learningRate jumps from 0.00006699 to 0.00004952/);
    expect(learned("keep").slice(12)).toEqual(closeTo([cosine(12, 14), cosine(13, 14)]));
    expect(JSON.parse(readFileSync(cli.at("keep/config.json"), "utf8"))).not.toHaveProperty("scheduleSteps");
  }, 30_000);

  it("rewind, which is also meant by the bare flag, plans all steps anew and says what jumps", async () => {
    const { stderr } = await ok(train("rewind", 12, "--extend", "rewind"));
    expect(stderr).toMatch(
      /^--extend rewind: schedules are recomputed for 12 steps, so in step 7 learningRate jumps from 0.00006699 to 0.0005; --extend keep keeps the last values instead$/m,
    );
    const values = [0, 1, 2, 3, 4, 5].map((k) => cosine(k, 6));
    expect(learned("rewind")).toEqual(closeTo([...values, ...[6, 7, 8, 9, 10, 11].map((k) => cosine(k, 12))]));
    await ok(train("bare", 12, "--extend"));
    expect(cli.results("bare")).toEqual(cli.results("rewind"));
  }, 30_000);

  it("is planned by --dry-run with what jumps, and nothing changes", async () => {
    const before = readFileSync(cli.at("rewind/config.json"), "utf8");
    const plan = async (steps: number, ...extend: string[]) =>
      (await ok(train("rewind", steps, "--dry-run", ...extend))).stdout;
    expect(await plan(18, "--extend")).toMatch(/^ +extension .*in step 13 learningRate jumps from 0\.\S+ to 0\.\S+;/m);
    expect(await plan(18, "--extend", "keep")).toMatch(/^ +extension .*planned for 12 steps and then keep their last/m);
    expect(await plan(12, "--extend")).not.toMatch(/extension|jumps/);
    expect(await plan(18)).not.toMatch(/extension|jumps/);
    expect(readFileSync(cli.at("rewind/config.json"), "utf8")).toBe(before);
  }, 60_000);

  it("bare may stand before an argument", async () => {
    const teacher = cli.at("rewind/checkpoints/step-00000012/ema.safetensors");
    const prune = (steps: number, ...extend: string[]) => [
      ...["prune", ...extend, teacher, "--out", cli.at("mask"), ...cli.common, "--steps", String(steps)],
    ];
    await ok(prune(4));
    const { stderr } = await ok(prune(8, "--extend"));
    expect(stderr).toMatch(/in step 5 tau jumps from 0.1 to 1.771; --extend keep/);
    expect(cli.metrics("mask")[4]!.tau).toBeCloseTo(4 - (3.9 * 4) / 7, 10);
    await ok(prune(10, "--extend=keep"));
    expect(
      cli
        .metrics("mask")
        .slice(8)
        .map(({ tau }) => tau),
    ).toEqual(closeTo([0.1, 0.1]));
    const { code, stderr: refused } = await cli.run([...prune(12), "--extend=on"]);
    expect([code, refused]).toEqual([2, "tinyfusion: --extend expects one of rewind, keep, got on\n"]);
  }, 30_000);

  it("says nothing of schedules where none depends on the number of steps, and without more steps changes nothing", async () => {
    const constant = (steps: number, ...more: string[]) => cli.train("constant", "--steps", String(steps), ...more);
    await ok(constant(2));
    expect((await ok(constant(4, "--extend"))).stderr).not.toMatch(/jumps/);
    await ok(train("same", 6));
    await ok(train("same", 8, "--extend", "keep"));
    expect((await ok(train("same", 8, "--extend"))).stderr).not.toMatch(/jumps/);
    expect(JSON.parse(readFileSync(cli.at("same/config.json"), "utf8"))).toMatchObject({ steps: 8, scheduleSteps: 6 });
  }, 30_000);
});
