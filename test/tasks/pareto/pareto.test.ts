import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { NDArray } from "../../../src/array/ndarray.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { modelCost } from "../../../src/evaluation/speed/model-cost.ts";
import { runOnly } from "../../../src/nn/run-block.ts";
import { sampleImages } from "../../../src/sampling/sample-images.ts";
import type { TimedCell } from "../../../src/tasks/pareto/cell.ts";
import { type Cell, type DepthPoint, paretoCells } from "../../../src/tasks/pareto/grid.ts";
import { runCells } from "../../../src/tasks/pareto/pareto.ts";
import type { Scorer } from "../../../src/tasks/pareto/scorer.ts";
import { loadModel } from "../../../src/weights/model-file.ts";
import { plantModel } from "../../cli/program-run.ts";
import { countedEngine } from "../../engine/counted-engine.ts";

const folder = mkdtempSync(join(tmpdir(), "pareto-study-"));
afterAll(() => rmSync(folder, { recursive: true }));

const engine = countedEngine(cpuEngine({ threads: 1 }));
const common = { seed: 3, count: 5, batch: 2, threads: 1, judgement: { metric: "mean", facts: {} } };
let depths: DepthPoint[];

beforeAll(async () => {
  const file = await loadModel(await plantModel(join(folder, "deep.safetensors")));
  const { process } = file;
  depths = [
    { name: "4 blocks", file, process },
    { name: "2 of 4 blocks", file, process, kept: [0, 2] },
  ];
});

const cellsOf = (...steps: string[]) =>
  paretoCells({ depths, samplings: steps.map((some) => ({ steps: some })) }, common);

/** The mean of all numbers, and a copy of what was judged. */
function meanScorer(seen: { images: NDArray<"float32">; labels: Int32Array }[] = []): Scorer {
  return {
    metric: "mean",
    facts: { of: "numbers" },
    async score(images, labels) {
      seen.push({ images, labels });
      return { estimate: images.data.reduce((a, b) => a + b, 0) / images.size, standardError: 0.5, more: {} };
    },
  };
}

const studyOf = (out: string, cells: readonly Cell[], more: object = {}) =>
  runCells({
    engine,
    scorer: meanScorer(),
    versions: { tinyfusion: "0" },
    out: join(folder, out),
    cells,
    rounds: 2,
    ...more,
  });

/** What follows from the settings. */
const content = (cell: TimedCell) => {
  const { secondsPerImage: _, compileSeconds: __, machine: ___, seconds: ____, ...rest } = cell;
  return rest;
};

describe("the grid", () => {
  test("has every depth with every sampling, depths beside each other, each with a name of its own", () => {
    const cells = cellsOf("ddim2", "ddim4");
    expect(cells.map(({ depth, sampling }) => [depth.name, sampling.steps])).toEqual([
      ["4 blocks", "ddim2"],
      ["2 of 4 blocks", "ddim2"],
      ["4 blocks", "ddim4"],
      ["2 of 4 blocks", "ddim4"],
    ]);
    expect(new Set(cells.map(({ id }) => id)).size).toBe(4);
    expect(cells[1]!.id).toMatch(/^d2_ddim2_[0-9a-f]{10}$/);
  });

  test("names a cell by all that decides its numbers, in whatever order it is said", () => {
    const id = (sampling: object, more: object = {}) =>
      paretoCells({ depths: depths.slice(0, 1), samplings: [sampling] }, { ...common, ...more })[0]!.id;
    const first = id({ steps: "ddim2", cfgScale: 2 });
    expect(id({ cfgScale: 2, steps: "ddim2" })).toBe(first);
    const others = [id({ steps: "ddim2", cfgScale: 3 }), id({ steps: "ddim2", cfgScale: 2 }, { seed: 4 })];
    others.push(
      id({ steps: "ddim2", cfgScale: 2 }, { count: 6 }),
      id({ steps: "ddim2", cfgScale: 2 }, { judgement: { metric: "FID", facts: {} } }),
      id({ steps: "ddim2", cfgScale: 2 }, { judgement: { metric: "mean", facts: { reference: "another" } } }),
    );
    expect(new Set([first, ...others]).size).toBe(6);
  });
});

describe("a study", () => {
  test("judges the images that generate draws, and notes what they cost", async () => {
    const seen: { images: NDArray<"float32">; labels: Int32Array }[] = [];
    const { results, computed } = await studyOf("one", cellsOf("ddim2"), { scorer: meanScorer(seen) });
    const { model, tensors: weights, process } = depths[1]!.file;
    const runBlock = runOnly([0, 2]);
    const expected = await sampleImages({
      engine,
      model,
      weights,
      process,
      labels: 5,
      seed: 3,
      steps: "ddim2",
      runBlock,
    });
    expect([computed, [...seen[1]!.labels]]).toEqual([2, [0, 1, 2, 3, 4]]);
    expect(seen[1]!.images.shape).toEqual([5, 1, 28, 28]);
    expect([...seen[1]!.images.data]).toEqual([...expected.images.data]);
    const { macsPerImage, model: facts, settings, judgedBy } = results[1]!;
    expect(judgedBy).toEqual({ of: "numbers" });
    expect(macsPerImage).toBe(2 * 2 * modelCost(model, runBlock).macs); // steps, halves
    expect(facts).toMatchObject({ blocks: 2, kept: [0, 2], parameters: modelCost(model, runBlock).parameters });
    expect(settings).toMatchObject({ steps: "ddim2", sampler: "ddim", cfgScale: 2, seed: 3, count: 5 });
  });

  test("stopped between cells goes on where it was, and finds what an undisturbed one finds", async () => {
    const cells = cellsOf("ddim2", "ddim3");
    const whole = await studyOf("whole", cells);
    const stop = new AbortController();
    const onCell = (_: Cell, at: number) => at === 2 && stop.abort(new Error("stopped"));
    await expect(studyOf("parts", cells, { onCell, signal: stop.signal })).rejects.toThrow("stopped");
    const at = (name: string) => join(folder, "parts/cells", name);
    const done = readdirSync(at(""));
    expect(done.sort()).toEqual(
      cells
        .slice(0, 2)
        .map(({ id }) => `${id}.json`)
        .sort(),
    );
    const before = done.map((name) => statSync(at(name)).mtimeMs);
    const parts = await studyOf("parts", cells);
    expect(parts.computed).toBe(2);
    expect(done.map((name) => statSync(at(name)).mtimeMs)).toEqual(before);
    expect(parts.results.map(content)).toEqual(whole.results.map(content));
    for (const { seconds, secondsPerImage } of parts.results) {
      expect(seconds.rounds).toBe(2);
      expect(secondsPerImage).toBe(seconds.median);
      expect(seconds.least).toBeLessThanOrEqual(seconds.median);
      expect(seconds.most).toBeGreaterThanOrEqual(seconds.median);
    }
  });

  test("with nothing left to do computes and times nothing", async () => {
    const cells = cellsOf("ddim2");
    await studyOf("done", cells);
    const { runs } = engine.counters;
    const again = await studyOf("done", cells);
    expect([again.computed, again.results[0]!.seconds.rounds, engine.counters.runs]).toEqual([0, 2, runs]);
  });

  test("passes over times in the files of earlier versions", async () => {
    const cells = cellsOf("ddim2");
    await studyOf("earlier", cells);
    const path = join(folder, "earlier/cells", `${cells[0]!.id}.json`);
    const { secondsPerImage: none, checksum: _, ...stored } = JSON.parse(readFileSync(path, "utf8"));
    writeFileSync(path, JSON.stringify({ ...stored, secondsPerImage: 1e6, batchSeconds: [1e6] }));
    const { results, computed } = await studyOf("earlier", cells);
    expect([none, computed, results[0]!.secondsPerImage < 1e6]).toEqual([undefined, 0, true]);
    expect(Object.keys(results[0]!)).not.toContain("batchSeconds");
  });

  test("refuses a cell file with another content, naming it", async () => {
    const cells = cellsOf("ddim2");
    await studyOf("damaged", cells);
    const path = join(folder, "damaged/cells", `${cells[1]!.id}.json`);
    writeFileSync(path, readFileSync(join(folder, "damaged/cells", `${cells[0]!.id}.json`)));
    await expect(studyOf("damaged", cells)).rejects.toThrow(
      `${path}: expected the result of cell ${cells[1]!.id}, found another content; remove the file`,
    );
    const text = readFileSync(join(folder, "damaged/cells", `${cells[0]!.id}.json`), "utf8");
    const first = join(folder, "damaged/cells", `${cells[0]!.id}.json`);
    writeFileSync(
      first,
      text.replace(/"estimate": -?/, (found) => `${found}1`),
    );
    await expect(studyOf("damaged", cells)).rejects.toThrow(`${first} is damaged`);
  });
});
