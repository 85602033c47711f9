import { beforeAll, describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { float32, type NDArray } from "../../src/array/ndarray.ts";
import { permutation } from "../../src/array/random.ts";
import { loadDigits } from "../../src/data/digits.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/node-engine.ts";
import { type DigitReport, digitReference, evaluateDigits } from "../../src/evaluation/digits.ts";
import { classifierInput } from "../../src/evaluation/features/digit-features.ts";

const engine = cpuEngine({ threads: 1 });
const { heldOut } = loadDigits();
const pictures = classifierInput(heldOut.images);

/** The held-out digits of these rows. */
function digits(rows: ArrayLike<number>): { images: NDArray<"float32">; labels: Int32Array } {
  const images = new Float32Array(rows.length * 784);
  Array.from(rows).forEach((row, i) => {
    images.set(pictures.data.subarray(row * 784, (row + 1) * 784), i * 784);
  });
  const labels = Int32Array.from(rows, (row) => heldOut.labels.data[row]!);
  return { images: float32(images, [rows.length, 1, 28, 28]), labels };
}

const rowsOfClass = (k: number) =>
  Array.from(heldOut.labels.data.keys()).filter((row) => heldOut.labels.data[row] === k);
const random = permutation({ seed: 9, purpose: "test digits", step: 0, index: 0 }, 2000).subarray(0, 200);

describe("evaluating digits", () => {
  let real: DigitReport;
  beforeAll(async () => {
    real = await evaluateDigits({ engine, ...digits(random) });
  });

  test("real digits that nothing was trained on score at the floor", () => {
    const { floor, fdDigits } = real;
    expect(real.n).toBe(200);
    expect(floor).toMatchObject({ n: 200, draws: 5 });
    expect(Math.abs(fdDigits.estimate - floor.mean)).toBeLessThan(4 * floor.standardDeviation + fdDigits.standardError);
    expect(real.labelAccuracy).toBeGreaterThan(0.97);
    expect(real.precision).toBeGreaterThan(0.7);
    expect(real.recall).toBeGreaterThan(0.5);
  });

  test("counts by class what was wanted, what was seen and what was right", () => {
    const total = (field: "wanted" | "predicted" | "correct") => real.perClass.reduce((sum, k) => sum + k[field], 0);
    expect(total("wanted")).toBe(200);
    expect(total("predicted")).toBe(200);
    expect(total("correct") / 200).toBeCloseTo(real.labelAccuracy, 12);
    const wanted = real.perClass.map((k) => digits(random).labels.filter((label) => label === k.class).length);
    expect(real.perClass.map((k) => k.wanted)).toEqual(wanted);
  });

  test("a model that draws one class only is found out by every number", async () => {
    const threes = digits(rowsOfClass(3));
    const labels = Int32Array.from({ length: 200 }, (_, i) => i % 10);
    const collapsed = await evaluateDigits({ engine, images: threes.images, labels });
    expect(collapsed.fdDigits.estimate).toBeGreaterThan(5 * real.fdDigits.estimate);
    expect(collapsed.labelAccuracy).toBeLessThan(0.15);
    expect(collapsed.recall).toBeLessThan(0.5 * real.recall);
    expect(collapsed.perClass[3]!.predicted).toBeGreaterThan(190);
  });

  test("noise scores far above the floor", async () => {
    const noise = digits(random).images.data.map((_, i) => (((i * 2654435761) >>> 0) / 2 ** 31 - 1) * 2);
    const report = await evaluateDigits({
      engine,
      images: float32(noise, [200, 1, 28, 28]),
      labels: digits(random).labels,
    });
    expect(report.fdDigits.estimate).toBeGreaterThan(5 * real.fdDigits.estimate);
    expect(report.precision).toBeLessThan(0.1);
  });

  test("classes in turn, as samples come, give the standard error of sorted ones: no class is left out whole", async () => {
    const byClass = Array.from({ length: 10 }, (_, k) => rowsOfClass(k).slice(0, 20));
    const inTurn = Array.from({ length: 200 }, (_, i) => byClass[i % 10]![Math.floor(i / 10)]!);
    const [a, b] = [
      await evaluateDigits({ engine, ...digits(byClass.flat()) }),
      await evaluateDigits({ engine, ...digits(inTurn) }),
    ];
    expect(b.fdDigits.standardError).toBeCloseTo(a.fdDigits.standardError, 6);
    expect(b.fdDigits.standardError).toBeGreaterThan(0);
  });

  test("the report is that of the picture: values beyond black and white are clipped", async () => {
    const { images, labels } = digits(random);
    const loud = float32(
      images.data.map((x) => (Math.abs(x) === 1 ? 1.5 * x : x)),
      images.shape,
    );
    expect(await evaluateDigits({ engine, images: loud, labels })).toEqual(real);
  });

  test("a reference of fewer digits is used as it is; the floor is drawn once, from all that are held out", async () => {
    const some = (rows: number) => ({ images: heldOut.images.rows(0, rows), labels: heldOut.labels.rows(0, rows) });
    const reference = await digitReference(engine, { train: some(300), heldOut: some(60) });
    const report = await evaluateDigits({ engine, ...digits(random), reference });
    expect(report.manifoldSize).toBe(300);
    expect(report.floor).toMatchObject({ n: 60, draws: 1, standardDeviation: 0 });
    expect(report.fdDigits.estimate).toBeGreaterThan(real.fdDigits.estimate); // the reference holds one digit or two
  });

  test("an engine that fails once can be asked again", async () => {
    let failing = true;
    const flaky: Engine = {
      ...engine,
      async compile(graph) {
        if (failing) throw new Error("out of memory");
        return engine.compile(graph);
      },
    };
    await expect(evaluateDigits({ engine: flaky, ...digits(random) })).rejects.toThrow("out of memory");
    failing = false;
    expect(await evaluateDigits({ engine: flaky, ...digits(random) })).toEqual(real);
  });

  test.each([
    ["fewer than 20 images", digits([...random.subarray(0, 19)]), "at least 20 images"],
    ["another number of labels", { ...digits(random), labels: new Int32Array(3) }, "200 images have 3 labels"],
    ["a label that is no digit", { ...digits(random), labels: new Int32Array(200).fill(10) }, "label 10 is none of"],
  ])("refuses %s", async (_, wrong, message) => {
    const result = evaluateDigits({ engine, ...wrong });
    await expect(result).rejects.toThrow(InputError);
    await expect(result).rejects.toThrow(message);
  });
});
