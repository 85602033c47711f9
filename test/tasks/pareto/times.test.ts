import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { machineNow } from "../../../src/evaluation/speed/timing.ts";
import type { CellTime, Turn } from "../../../src/tasks/pareto/cell.ts";
import { type Cell, type DepthPoint, paretoCells } from "../../../src/tasks/pareto/grid.ts";
import { runCells } from "../../../src/tasks/pareto/pareto.ts";
import { cellSeconds, timeCell, timesPlan } from "../../../src/tasks/pareto/times.ts";
import { loadModel } from "../../../src/weights/model-file.ts";
import { plantModel } from "../../cli/program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "pareto-times-"));
afterAll(() => rmSync(folder, { recursive: true }));

const engine = cpuEngine({ threads: 1 });
const common = { seed: 3, count: 4, batch: 2, threads: 1, judgement: { metric: "none", facts: {} } };
let depths: DepthPoint[];

beforeAll(async () => {
  const file = await loadModel(await plantModel(join(folder, "deep.safetensors")));
  depths = [{ name: "4 blocks", file, process: file.process }];
});

const cellsOf = (...steps: string[]) =>
  paretoCells({ depths, samplings: steps.map((some) => ({ steps: some })) }, common);

const scorer = { metric: "none", facts: {}, score: async () => ({ estimate: 1, standardError: 1, more: {} }) };
const studyOf = (out: string, cells: readonly Cell[], more: object = {}) =>
  runCells({ engine, scorer, versions: {}, out: join(folder, out), cells, rounds: 2, ...more });

const linesOf = (out: string): CellTime[] =>
  readFileSync(join(folder, out, "times.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
const turnsOf = (times: readonly CellTime[]) => times.map(({ cell, round }) => [cell, round]);
const inTurn = (cells: readonly Cell[]) => [
  ...cells.map(({ id }) => [id, 0]),
  ...cells.toReversed().map(({ id }) => [id, 1]),
];

/** Writes the times of two rounds of `cells`, the first `count` of them, taken on `machine`. */
function plantTimes(out: string, cells: readonly Cell[], count: number, machine: object = {}): string {
  const here = { ...machineNow(1), ...machine };
  const pass = createHash("sha256")
    .update(JSON.stringify(cells.map(({ id }) => id).sort()))
    .digest("hex")
    .slice(0, 10);
  const times = inTurn(cells).map(([cell, round], i) => ({ cell, round, pass, secondsPerImage: i + 1, machine: here }));
  const path = join(folder, out);
  writeFileSync(
    join(path, "times.jsonl"),
    times
      .slice(0, count)
      .map((time) => `${JSON.stringify(time)}\n`)
      .join(""),
  );
  return path;
}
const emptyFolder = () => mkdtempSync(join(folder, "times-")).slice(folder.length + 1);

describe("the times of a study", () => {
  test("go through all cells in turn, forward and backward, and go on where they were stopped", async () => {
    const cells = cellsOf("ddim2", "ddim3");
    const stop = new AbortController();
    const left: number[] = [];
    const onTime = (_: CellTime, turns: readonly Turn[]) => {
      left.push(turns.length);
      if (left.length === 3) stop.abort(new Error("stopped"));
    };
    await expect(studyOf("turns", cells, { onTime, signal: stop.signal })).rejects.toThrow("stopped");
    const before = linesOf("turns");
    expect(turnsOf(before)).toEqual(inTurn(cells).slice(0, 3));
    const { results, machine } = await studyOf("turns", cells, { onTime });
    const after = linesOf("turns");
    expect([after.slice(0, 3), turnsOf(after), left]).toEqual([before, inTurn(cells), [3, 2, 1, 0]]);
    expect(machine).toEqual(after.at(-1)!.machine);
    expect(results.map(({ id, seconds }) => [id, seconds])).toEqual(
      cells.map(({ id }) => [id, cellSeconds(id, after)] as const),
    );
  });

  test("are a median, the least and the most of all rounds", () => {
    const { date: _, ...rest } = machineNow(1);
    const times = [4, 1, 9].map((secondsPerImage, round) => ({
      ...{ cell: "a", round, secondsPerImage, machine: { ...rest, date: "" } },
    }));
    expect(cellSeconds("a", times)).toEqual({ median: 4, least: 1, most: 9, rounds: 3 });
  });

  test("start over where they would be of two machines or threads, and say so", async () => {
    const cells = cellsOf("ddim2", "ddim3");
    await studyOf("moved", cells, { rounds: 1 });
    for (const machine of [{ processor: "abacus" }, { threads: 7 }]) {
      plantTimes("moved", cells, 3, machine);
      const said: string[] = [];
      await studyOf("moved", cells, { onStartOver: (why: string) => said.push(why) });
      expect(said).toEqual([expect.stringMatching(/different machines: .*(abacus|7 threads).*; 1 thread of/)]);
      const lines = linesOf("moved");
      expect(turnsOf(lines)).toEqual(inTurn(cells));
      expect(new Set(lines.map(({ machine: { threads, processor } }) => `${threads} ${processor}`)).size).toBe(1);
    }
  });

  test("that are complete count wherever they were taken, and those of other cells stay", async () => {
    const [out, cells] = [emptyFolder(), cellsOf("ddim2", "ddim3", "ddim4")];
    const path = plantTimes(out, cells, 6, { processor: "abacus" });
    expect(timesPlan(path, cells, 2)).toMatchObject({ left: [], done: { length: 6 } });
    expect(timesPlan(path, cells, 1)).toMatchObject({ left: [], done: { length: 3 } });
    await studyOf(out, [...cells.slice(0, 1), ...cellsOf("ddim5")]); // not timed together
    const kept = linesOf(out).filter(({ machine }) => machine.processor === "abacus");
    expect(kept.map(({ cell }) => cell)).toEqual([1, 2, 2, 1].map((i) => cells[i]!.id));
  });

  test("start over where cells were added since, and go on where rounds were", () => {
    const [out, cells] = [emptyFolder(), cellsOf("ddim2", "ddim3", "ddim4")];
    const path = plantTimes(out, cells.slice(1), 4);
    expect(timesPlan(path, cells, 2)).toMatchObject({
      ...{ done: [], left: { length: 6 }, startsOver: "some cells were timed without the others" },
    });
    const more = timesPlan(path, cells.slice(1), 3);
    expect([more.startsOver, more.done.length, more.left.map(({ round }) => round)]).toEqual([undefined, 4, [2, 2]]);
  });

  test("start over where cells were added behind those of one round, and stay where all were timed in one pass", async () => {
    const [out, cells] = [emptyFolder(), cellsOf("ddim2", "ddim3", "ddim4")];
    const said: string[] = [];
    const study = (of: readonly Cell[]) =>
      studyOf(out, of, { rounds: 1, onStartOver: (why: string) => said.push(why) });
    await study(cells.slice(0, 2));
    const before = linesOf(out);
    await study(cells);
    expect(said).toEqual(["some cells were timed without the others"]);
    const after = linesOf(out);
    expect(turnsOf(after)).toEqual(cells.map(({ id }) => [id, 0]));
    expect(after.map(({ machine }) => machine.date)).not.toContain(before[0]!.machine.date);
    expect(timesPlan(join(folder, out), cells, 1)).toMatchObject({ done: after, left: [] });
    expect(timesPlan(join(folder, out), cells.slice(1), 1)).toMatchObject({ done: after.slice(1), left: [] });

    // Each cell in a pass of its own; and times of earlier versions, which name none.
    const alone = after.map((time, i) => `${JSON.stringify({ ...time, pass: `${i}` })}\n`);
    writeFileSync(join(folder, out, "times.jsonl"), alone.join(""));
    expect(timesPlan(join(folder, out), cells, 1)).toMatchObject({ done: [], left: { length: 3 } });
    const unnamed = after.map(({ pass: _, ...time }) => `${JSON.stringify(time)}\n`);
    writeFileSync(join(folder, out, "times.jsonl"), unnamed.join(""));
    expect(timesPlan(join(folder, out), cells, 1)).toMatchObject({ done: { length: 3 }, left: [] });
    expect(timesPlan(join(folder, out), cells, 2)).toMatchObject({ done: [], left: { length: 6 } });
  });

  test("of a torn line are taken again, and other records are refused by number", () => {
    const [out, cells] = [emptyFolder(), cellsOf("ddim2")];
    const path = plantTimes(out, cells, 1);
    const file = join(path, "times.jsonl");
    const whole = readFileSync(file, "utf8");
    writeFileSync(file, `${whole}{"cell":"d4_`);
    expect(timesPlan(path, cells, 2).left).toHaveLength(1);
    writeFileSync(file, `${whole}{"at":"start"}\n`);
    expect(() => timesPlan(path, cells, 2)).toThrow(
      `${file}: expected the time of a cell as record 2, found another; remove the file`,
    );
  });
});

describe("one time", () => {
  /** Counts runs of sessions of each graph, and how many sessions were built. */
  function counted() {
    const runs: number[] = [];
    const compile: typeof engine.compile = async (graph, options) => {
      const session = await engine.compile(graph, options);
      const at = runs.push(0) - 1;
      const run: typeof session.run = (inputs) => {
        runs[at]!++;
        return session.run(inputs);
      };
      return { run, release: () => session.release() };
    };
    return { runs, engine: { ...engine, compile } };
  }

  test("is of a whole batch after one evaluation", async () => {
    const { runs, engine: watched } = counted();
    expect(await timeCell(cellsOf("ddim5")[0]!, watched)).toBeGreaterThan(0);
    expect(runs).toEqual([1 + 5]);
  });

  test("with a cache measures nothing again, and is taken after each graph has run", async () => {
    const sampling = { steps: "ddim6", cache: 1000, cacheImages: 2 };
    const [cell] = paretoCells({ depths, samplings: [sampling] }, common) as [Cell];
    const { results } = await studyOf("cached", [cell], { rounds: 1 });
    const { curves, graphs } = results[0]!.derived.cache as { curves: never; graphs: Record<string, number> };
    const { runs, engine: watched } = counted();
    await timeCell(cell, watched, { curves });
    const each = Object.values(graphs);
    expect([runs.length, each.length > 1]).toEqual([each.length, true]);
    expect(runs.every((count, i) => count > each[i]!)).toBe(true);
    const calibrated = counted();
    await timeCell(cell, calibrated.engine);
    expect(calibrated.runs.length).toBeGreaterThan(each.length);
  });

  test("stops between evaluations", async () => {
    const stop = AbortSignal.abort(new Error("stopped"));
    await expect(timeCell(cellsOf("ddim5")[0]!, engine, { signal: stop })).rejects.toThrow("stopped");
  });
});
