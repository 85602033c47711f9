/** What a training batch is drawn from, and that the next one is drawn ahead. */
import { describe, expect, it } from "vitest";
import { namedSchedule } from "../../src/diffusion/schedule.ts";
import type { NamedArrays } from "../../src/engine/engine.ts";
import { modelOf } from "../../src/models/registry.ts";
import { type DrawSettings, oneAhead } from "../../src/training/examples.ts";
import { gaussianObjective } from "../../src/training/objectives.ts";
import { drawTiny, images, pictures, TIMESTEPS, tinyModel } from "./tiny.ts";

const settings: DrawSettings = { seed: 7, batchSize: 9, microBatch: 9, labelDrop: 0.25 };
const feeds = ["xStart", "noise", "index", "y", "weight"] as const;

/** Each real row of a step as plain numbers, by feed. */
function rowsOf(batches: readonly NamedArrays[], batchSize: number) {
  const rows = Array.from({ length: batchSize }, () => ({}) as Record<(typeof feeds)[number], number[]>);
  for (const name of feeds) {
    const all = batches.flatMap((batch) => {
      const { data, shape } = batch[name]!;
      const size = data.length / shape[0]!;
      return Array.from({ length: shape[0]! }, (_, i) => Array.from(data.slice(i * size, (i + 1) * size), Number));
    });
    rows.forEach((row, i) => {
      row[name] = all[i]!;
    });
  }
  return rows;
}

const draw = async (change: Partial<DrawSettings> = {}, step = 3) => {
  const all = { ...settings, ...change };
  return rowsOf(await drawTiny(all, step), all.batchSize);
};

describe("the draws of a step", async () => {
  const expected = await draw();

  it.each([2, 3, 4, 5, 8])("are the same in micro-batches of %i", async (microBatch) => {
    expect(await draw({ microBatch })).toEqual(expected);
  });

  it("drop labels to the model's own class for none, whatever classes the data have", async () => {
    const wide = modelOf({ ...tinyModel().config, numClasses: 1000 });
    const objective = gaussianObjective(namedSchedule("linear", TIMESTEPS));
    const rows = rowsOf(await objective.draw(wide, images, settings, 3), settings.batchSize);
    const own = expected.map(({ y }) => (y[0] === images.numClasses ? 1000 : y[0]));
    expect(rows.map(({ y }) => y[0])).toEqual(own);
    expect(own).toContain(1000);
  });

  it("are refused for a model that takes other examples or knows fewer classes", async () => {
    const objective = gaussianObjective(namedSchedule("linear", TIMESTEPS));
    const small = modelOf({ ...tinyModel().config, inputSize: 4 });
    await expect(objective.draw(small, images, settings, 3)).rejects.toThrow(
      "examples are 1 × 8 × 8, the model takes 1 × 4 × 4",
    );
    const narrow = modelOf({ ...tinyModel().config, numClasses: 2 });
    await expect(objective.draw(narrow, images, settings, 3)).rejects.toThrow(
      "has the label 2, the model has classes 0 to 1",
    );
  });

  it("do not depend on what was drawn before", async () => {
    await draw({ seed: 8 }, 40);
    await draw({}, 2);
    expect(await draw()).toEqual(expected);
  });

  it("change with the seed, the step and the place in the batch", async () => {
    const others = [(await draw({ seed: 8 }))[0]!, (await draw({}, 4))[0]!];
    const noises = [expected[0]!, expected[1]!, ...others].map(({ noise }) => String(noise));
    expect(new Set(noises).size).toBe(4);
  });

  it("take other labels, but no other noise, timestep or image, when more labels are dropped", async () => {
    const without = (rows: typeof expected) => rows.map(({ y: _, ...rest }) => rest);
    const all = await draw({ labelDrop: 1 });
    expect(without(all)).toEqual(without(expected));
    expect(all.map(({ y }) => y[0])).toEqual(new Array(9).fill(images.numClasses));
    const none = (await draw({ labelDrop: 0 })).map(({ y }) => y[0]!);
    expect(none.every((label) => label < images.numClasses)).toBe(true);
    // a label that is dropped at 25% is also dropped at 60%
    const [quarter, more] = [expected, await draw({ labelDrop: 0.6 })];
    quarter.forEach(({ y }, i) => {
      if (y[0] === images.numClasses) expect(more[i]!.y[0]).toBe(images.numClasses);
    });
  });
});

describe("over many steps", async () => {
  const steps = (await Promise.all(Array.from({ length: 200 }, (_, step) => draw({}, step)))).flat();

  it("labels are dropped at their share", () => {
    const dropped = steps.filter(({ y }) => y[0] === images.numClasses).length / steps.length;
    expect(Math.abs(dropped - settings.labelDrop)).toBeLessThan(4 * Math.sqrt((0.25 * 0.75) / steps.length));
  });

  it("every timestep occurs, none outside the process", () => {
    const seen = new Set(steps.map(({ index }) => index[0]!));
    expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: TIMESTEPS }, (_, t) => t));
  });

  it("each image is seen equally often, with its own label", () => {
    const counts = new Map<string, number>();
    for (const { xStart, y } of steps) {
      const place = Array.from({ length: 20 }, (_, i) => i).find((i) => pictures.images.data[i * 64] === xStart[0])!;
      counts.set(String(place), (counts.get(String(place)) ?? 0) + 1);
      if (y[0] !== images.numClasses) expect(y[0]).toBe(pictures.labels.data[place]);
    }
    expect([...counts.values()]).toEqual(new Array(20).fill((200 * 9) / 20));
  });
});

describe("the weights of a step", () => {
  it("sum to one over real rows, and padded rows weigh nothing", async () => {
    const batches = await drawTiny({ ...settings, microBatch: 4 }, 0);
    const weights = batches.flatMap(({ weight }) => [...weight!.data].map(Number));
    expect(weights).toEqual([...new Array(9).fill(Math.fround(1 / 9)), 0, 0, 0]);
  });

  it("a batch of one is padded to the two rows that every run has", async () => {
    const [batch] = (await drawTiny({ ...settings, batchSize: 1, microBatch: 2 }, 0)) as [NamedArrays];
    expect([...batch.weight!.data]).toEqual([1, 0]);
    expect(batch.xStart!.shape).toEqual([2, 1, 8, 8]);
  });
});

it("draws each step once, the next one before it is asked for, and none beyond the last", async () => {
  const drawn: number[] = [];
  const next = oneAhead(async (step) => drawn.push(step) && step, 4);
  expect(await next(0)).toBe(0);
  expect(drawn).toEqual([0, 1]);
  for (const step of [1, 2, 3]) expect(await next(step)).toBe(step);
  expect(drawn).toEqual([0, 1, 2, 3]);
});

it("starts anywhere, and draws again what was not the next one", async () => {
  const drawn: number[] = [];
  const next = oneAhead(async (step) => drawn.push(step) && step, 10);
  expect(await next(5)).toBe(5);
  expect(await next(2)).toBe(2);
  expect(drawn).toEqual([5, 6, 2, 3]);
});

it("fails at the step that could not be drawn, not before", async () => {
  const next = oneAhead(async (step) => {
    if (step === 1) throw new Error("the disk is gone");
    return step;
  }, 3);
  expect(await next(0)).toBe(0);
  await new Promise((settled) => setTimeout(settled, 5));
  await expect(next(1)).rejects.toThrow("the disk is gone");
});
