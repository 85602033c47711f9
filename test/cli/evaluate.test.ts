/** `tinyfusion evaluate` on digits: models and images of every kind, and the same numbers each time. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NDArray } from "../../src/array/ndarray.ts";
import { openImageSet } from "../../src/evaluation/images/open-image-set.ts";
import { readReferenceFile } from "../../src/evaluation/reference/reference-file.ts";
import type { Evaluation } from "../../src/evaluation/scores/evaluation.ts";
import { digits, drawing, plantNpz, plantPngs, plantReference, teacher } from "./digit-pictures.ts";
import { plantModel, readJsonFile, run, tinyConfig } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "cli-evaluate-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...names: string[]) => join(folder, ...names);

const small = ["--reference", at("real.npz"), "--threads", "1"];
const evaluating = (what: string, out: string, ...more: string[]) =>
  run(["evaluate", what, "--out", at(out), ...small, ...more]);

type EvaluationFile = Evaluation & Readonly<Record<string, unknown>>;
const evaluationIn = (out: string) => readJsonFile(at(out, "evaluation.json")) as EvaluationFile;
/** All but what another run may change. */
const content = ({ machine: _, ...rest }: EvaluationFile) => rest;
const scoresOf = ({ scores }: Pick<Evaluation, "scores">) => scores.map(({ key, value }) => [key, value]);

beforeAll(async () => {
  await plantReference(at("pngs"), at("real.npz"), await digits(100, 60));
  const drawn = await run(["generate", teacher, ...drawing, "--out", at("set")]);
  expect(drawn.code, drawn.stderr).toBe(0);
  const { code, stderr } = await evaluating(at("set"), "whole");
  expect(code, stderr).toBe(0);
}, 60_000);

describe("the same images have the same numbers", () => {
  test("in a generated folder, its samples.npz, and a folder of PNGs", async () => {
    const whole = evaluationIn("whole");
    expect(whole.samples).toEqual({ name: at("set"), count: 24, size: [28, 28] });
    expect(whole.scores.map(({ key }) => key)).toEqual([
      ...["frechet", "inceptionScore", "precision", "recall", "kernelDistance", "labelAccuracy"],
    ]);
    const asFile = await evaluating(at("set", "samples.npz"), "file");
    expect(asFile.code, asFile.stderr).toBe(0);
    expect(scoresOf(evaluationIn("file"))).toEqual(scoresOf(whole));
    const set = await openImageSet(at("set"));
    plantPngs(at("as-pngs"), await set.read(0, 24));
    expect((await evaluating(at("as-pngs"), "as-pngs-found")).code).toBe(0);
    // Labels are not in the pictures.
    expect(scoresOf(evaluationIn("as-pngs-found")).map(([key]) => key)).not.toContain("labelAccuracy");
    const first = (out: string) => evaluationIn(out).scores[0]!.value;
    // Rows are in another order, and so are the roundings.
    expect(first("as-pngs-found") / whole.scores[0]!.value).toBeCloseTo(1, 8);
    expect(evaluationIn("as-pngs-found").warnings.join()).toContain("nothing is known of how the samples were made");
  }, 30_000);

  test("twice, and by the model itself", async () => {
    const before = evaluationIn("whole");
    const again = await evaluating(at("set"), "whole", "--json");
    expect(content(JSON.parse(again.stdout))).toEqual(content(before));
    expect(content(evaluationIn("whole"))).toEqual(content(before));
    const { code, stderr } = await run(["evaluate", teacher, ...drawing, ...small, "--out", at("by-model")]);
    expect(code, stderr).toBe(0);
    expect(scoresOf(evaluationIn("by-model"))).toEqual(scoresOf(before));
    expect(evaluationIn("by-model").origin).toMatchObject({ modelFile: { path: teacher, weights: "ema" } });
  }, 30_000);

  test("drawn in two pieces", async () => {
    const shards = ["--shard-size", "8"];
    const one = ["evaluate", teacher, ...small, ...drawing, ...shards, "--out", at("pieces")];
    expect((await run(one)).code).toBe(0);
    const whole = evaluationIn("pieces");
    rmSync(at("pieces"), { recursive: true });
    const argv = [...drawing.slice(2), ...shards, "--out", at("pieces", "images")];
    expect((await run(["generate", teacher, "--count", "10", ...argv])).code).toBe(0);
    const { code, stderr } = await run(one);
    expect([code, stderr]).toEqual([0, expect.stringContaining(`8 of 24 images are in ${at("pieces", "images")}`)]);
    expect(content(evaluationIn("pieces"))).toEqual(content(whole));
  }, 30_000);

  test("with --quick, but for their errors", async () => {
    expect((await evaluating(at("set"), "quick", "--quick")).code).toBe(0);
    const quick = evaluationIn("quick");
    expect(scoresOf(quick)).toEqual(scoresOf(evaluationIn("whole")));
    expect(quick.scores.some(({ standardError }) => standardError !== undefined)).toBe(false);
    expect(evaluationIn("whole").scores[0]!.standardError).toBeGreaterThan(0);
  });
});

describe("what is written", () => {
  test("a page with every section, and nothing that is not a value", () => {
    const page = readFileSync(at("whole", "report.html"), "utf8");
    expect(page).not.toMatch(/\b(NaN|undefined|Infinity|\[object Object\])/);
    const headings = [
      "Numbers",
      "Before you compare",
      "The model and its sampling",
      "Samples",
      "Copies of the reference?",
    ];
    for (const heading of [...headings, "Checks of the numbers themselves", "Everything that decides the numbers"])
      expect(page).toContain(`>${heading}</h2>`);
    expect(page).toContain(`tinyfusion evaluate ${at("set")} --out ${at("whole")} --reference ${at("real.npz")}`);
    expect(page.match(/data:image\/png;base64,/g)).toHaveLength(2);
  });

  test("features, which are not computed again, but for images that changed", async () => {
    const pieces = () =>
      readdirSync(at("whole", "features"), { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".npz"))
        .map((name) => join(at("whole", "features"), name));
    const [piece, ...others] = pieces();
    expect(others).toEqual([]);
    utimesSync(piece!, 1000, 1000);
    expect((await evaluating(at("set"), "whole")).code).toBe(0);
    expect(statSync(piece!).mtimeMs).toBe(1_000_000);
    const before = evaluationIn("whole");
    const images = await (await openImageSet(at("set"))).read(0, 24);
    images.data.fill(255, 20 * 28 * 28 * 3, 21 * 28 * 28 * 3);
    plantNpz(at("changed.npz"), { arr_0: images });
    expect((await evaluating(at("changed.npz"), "whole")).code).toBe(0);
    expect(statSync(piece!).mtimeMs).toBeGreaterThan(1_000_000);
    expect(evaluationIn("whole").scores[0]!.value).not.toBe(before.scores[0]!.value);
    expect((await evaluating(at("set"), "whole")).code).toBe(0);
  }, 30_000);
});

describe("what a reader is told", () => {
  test("weights that are not averaged", async () => {
    await plantModel(at("raw.safetensors"), tinyConfig, { weights: "raw" });
    const { code, stdout, stderr } = await run([
      "evaluate",
      at("raw.safetensors"),
      ...drawing,
      ...small,
      "--out",
      at("raw"),
    ]);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain("note: samples are of raw weights; published numbers are of averaged (EMA) weights");
  }, 30_000);

  test("what a reference of statistics alone lacks, and whose they are taken for", async () => {
    const { pooled } = await readReferenceFile(at("real.npz"));
    const mu = new NDArray("float64", [64], pooled.mean);
    const sigma = new NDArray("float64", [64, 64], pooled.covariance);
    plantNpz(at("statistics.npz"), { mu, sigma });
    const { code, stderr, stdout } = await evaluating(at("set"), "statistics", "--reference", at("statistics.npz"));
    expect(code, stderr).toBe(0);
    expect(stderr).toContain("holds statistics only: no precision, recall, kernel distance or nearest images");
    expect(stdout).toContain("the reference does not say of which network");
    const found = evaluationIn("statistics");
    expect(found.scores.map(({ key }) => key)).toEqual(["frechet", "inceptionScore", "labelAccuracy"]);
    expect(found.scores[0]!.value).toBe(evaluationIn("whole").scores[0]!.value);
    expect(found.referenceNetwork).toBe("not said by the file");

    plantNpz(at("both.npz"), { mu, sigma, arr_0: await digits(100, 60) });
    const both = await evaluating(at("set"), "both", "--reference", at("both.npz"));
    expect(both.stdout).toContain("the reference does not say of which network");
    expect(scoresOf(evaluationIn("both"))).toEqual(scoresOf(evaluationIn("whole")));
    expect(evaluationIn("both").referenceNetwork).toBe("not said by the file");
  }, 30_000);

  test("real images as they are: a folder, and arr_0 of a .npz, each as if it were made before", async () => {
    plantNpz(at("arr.npz"), { arr_0: await digits(100, 60) });
    for (const name of ["pngs", "arr.npz"]) {
      expect((await evaluating(at("set"), "as-they-are", "--reference", at(name))).code).toBe(0);
      expect(scoresOf(evaluationIn("as-they-are"))).toEqual(scoresOf(evaluationIn("whole")));
    }
  }, 30_000);

  test("how well real digits do, against the packaged ones", async () => {
    const argv = ["evaluate", at("set"), "--out", at("packaged"), "--threads", "1", "--keep", "100", "--infinity"];
    const { code, stdout, stderr } = await run([...argv, "--quick"]);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^FD-digits /m);
    expect(stdout).toMatch(
      /^FD-digits of real images .* 24 images that neither a model nor the reference has seen: no model/m,
    );
  }, 30_000);
});

test("a stop, after which the same command goes on", async () => {
  const argv = ["evaluate", teacher, ...drawing, ...small, "--out", at("stopped")];
  const { code, stderr } = await run(argv, AbortSignal.abort());
  expect([code, stderr]).toEqual([130, expect.stringMatching(/the same command resumes\n$/)]);
  expect(existsSync(at("stopped", "evaluation.json"))).toBe(false);
  expect((await run(argv)).code).toBe(0);
  expect(scoresOf(evaluationIn("stopped"))).toEqual(scoresOf(evaluationIn("whole")));
}, 30_000);
