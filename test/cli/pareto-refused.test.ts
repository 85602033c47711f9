/** What `tinyfusion pareto` refuses: in one sentence, with nothing written. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { NDArray } from "../../src/array/ndarray.ts";
import { plantNpz } from "./digit-pictures.ts";
import { plantModel, run, tinyConfig } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "cli-pareto-refused-"));
afterAll(() => rmSync(folder, { recursive: true }));

const at = (name: string) => join(folder, name);
const deep = at("deep.safetensors");
const tiny = ["--threads", "1", "--count", "20", "--batch", "10", "--steps", "ddim2", "--keep", "100"];
const studying = (out: string, ...more: string[]) => run(["pareto", deep, "--out", at(out), ...tiny, ...more]);

beforeAll(async () => {
  await plantModel(deep);
  plantNpz(at("small.npz"), { arr_0: new NDArray("uint8", [30, 5, 6, 3], new Uint8Array(2700)) });
  await plantModel(at("other.safetensors"), { ...tinyConfig, numClasses: 7 });
  await plantModel(at("sit.safetensors"), { family: "sit", ...tinyConfig }, { process: { kind: "flow" } as never });
});

test.each([
  [["--shallow", at("other.safetensors")], /found 1 × 28 × 28, 10 classes, process gaussian in \S+ and .* 7 classes/],
  [
    ["--shallow", at("sit.safetensors")],
    /process gaussian in \S+ and .* process flow in \S+sit\.safetensors; choose others/,
  ],
  [["--steps", "ddim2,ddim2"], /--steps expects entries by comma, each once, got "ddim2" in "ddim2,ddim2"/],
  [["--cache", "0,much"], /--cache expects tolerances of at least 0 by comma, as 0,0\.1, got much/],
  [["--samplers", "heun"], /unknown sampler heun of Gaussian diffusion/],
  [["--features", "inception"], /need the weights of Inception-v3, which are not part of this package/],
  [["--reference", at("nowhere")], /nowhere.*no such file or folder/],
  [["--reference", at("deep.safetensors")], /deep\.safetensors/],
  [["--reference", at("small.npz")], /small\.npz: expected images of 28 × 28 as in the cells, found 5 × 6/],
  [["--blocks", "0,2/9"], /expected block numbers from 0 to 3, found "9"/],
])("refuses %o in one sentence and writes nothing", async (more, message) => {
  const { code, stderr } = await studying("refused", ...more);
  expect(stderr).toMatch(message);
  const sentences = stderr.trimEnd().split("\n");
  const said = sentences.filter((line) => line !== "features of the reference by digits").length;
  expect([code, existsSync(at("refused")), said]).toEqual([1, false, 1]);
});

test("refuses caches that a sampler cannot have, and a missing folder", async () => {
  const sit = ["pareto", at("sit.safetensors"), "--out", at("refused"), "--count", "20", "--steps", "3"];
  const adaptive = await run([...sit, "--samplers", "dopri5", "--cache", "0.1"]);
  expect(adaptive.stderr).toMatch(
    /--cache 0\.1 needs a fixed number of evaluations, dopri5 has none; leave one of the two out/,
  );
  expect((await run(["pareto", deep])).stderr).toBe("tinyfusion: --out is required\n");
  expect(existsSync(at("refused"))).toBe(false);
});
