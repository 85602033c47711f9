/** What `tinyfusion evaluate` refuses: in one sentence, before anything is drawn, with nothing written. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { float32, int32, NDArray } from "../../src/array/ndarray.ts";
import { readReferenceFile, writeReferenceFile } from "../../src/evaluation/reference/reference-file.ts";
import { digits, drawing, plantNpz, plantPngs, plantReference, teacher } from "./digit-pictures.ts";
import { contents, plantModel, run, tinyConfig } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "cli-evaluate-refused-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...names: string[]) => join(folder, ...names);

const small = ["--reference", at("real.npz"), "--threads", "1"];
const evaluating = (what: string, out: string, ...more: string[]) =>
  run(["evaluate", what, "--out", at(out), ...small, ...more]);

beforeAll(async () => {
  await plantReference(at("pngs"), at("real.npz"), await digits(100, 60));
  plantPngs(at("set"), await digits(0, 24));
}, 30_000);

describe("refused in one sentence, with nothing written:", () => {
  const plant: Record<string, () => unknown> = {
    "too few images": async () => plantPngs(at("few"), await digits(0, 19)),
    "an empty folder": () => mkdirSync(at("empty")),
    "two sizes": async () => {
      plantPngs(at("two"), await digits(0, 30));
      plantPngs(at("other"), new NDArray("uint8", [1, 5, 6, 3], new Uint8Array(90)));
      writeFileSync(at("two", "zz.png"), readFileSync(at("other", "000.png")));
    },
    floats: () => plantNpz(at("floats.npz"), { arr_0: float32(new Float32Array(48), [1, 4, 4, 3]) }),
    "of other names": async () => plantNpz(at("named.npz"), { x_train: await digits(0, 30), y: int32([1]) }),
    "statistics alone": async () => plantNpz(at("mu.npz"), { mu: float32([1]), sigma: float32([1], [1, 1]) }),
    damaged: async () => {
      plantNpz(at("cut.npz"), { arr_0: await digits(0, 30) });
      truncateSync(at("cut.npz"), 5000);
    },
    "no images": () => {
      writeFileSync(at("text.txt"), "no images");
    },
    "large images": () =>
      plantNpz(at("large.npz"), { arr_0: new NDArray("uint8", [30, 32, 32, 3], new Uint8Array(30 * 3072)) }),
    latents: () => plantModel(at("latents.safetensors"), { ...tinyConfig, inputSize: 14, inChannels: 4, patchSize: 7 }),
    "a large model": () => plantModel(at("wide.safetensors"), { ...tinyConfig, inputSize: 32, patchSize: 16 }),
  };
  test.each([
    ["too few images", "few", /few: expected at least 20 images for a standard error, found 19/],
    ["an empty folder", "empty", /empty has no images; expected files such as NAME\.jpg or NAME\.png/],
    ["two sizes", "two", /zz\.png: expected 28 × 28 pixels as 000\.png, found 5 × 6; crop all images/],
    ["floats", "floats.npz", /found float32 \[1, 4, 4, 3\]; round them to bytes/],
    ["statistics alone", "mu.npz", /these are statistics, from which no images come back/],
    ["of other names", "named.npz", /named\.npz: expected images as arr_0, .* found x_train, y; name the array arr_0/],
    ["damaged", "cut.npz", /cut\.npz: expected the directory of a zip file at its end, found none; is it cut off\?/],
    ["no images", "text.txt", /text\.txt: expected weights .*, found text/],
    ["large images", "large.npz", /features of images of 32 × 32 need the weights of Inception-v3, which are not part/],
    ["latents", "latents.safetensors", /expected --vae, as \S+ samples 4-channel latents/],
    ["a large model", "wide.safetensors", /features of images of 32 × 32 need the weights of Inception-v3/],
  ])("%s", async (what, name, message) => {
    await plant[what]!();
    const { code, stdout, stderr } = await run(["evaluate", at(name), ...small, "--out", at("refused")]);
    expect(stderr).toMatch(message);
    expect([code, stdout, stderr.match(/^tinyfusion: /gm)?.length, existsSync(at("refused"))]).toEqual([
      1,
      "",
      1,
      false,
    ]);
  });

  const references: Record<string, () => unknown> = {
    "of another network": async () => {
      const { network: _, ...found } = await readReferenceFile(at("real.npz"));
      await writeReferenceFile(at("bad.npz"), { ...found, network: { name: "inception-v3-2015-12-05", settings: {} } });
    },
    "of other classifier weights": async () => {
      const found = await readReferenceFile(at("real.npz"));
      await writeReferenceFile(at("bad.npz"), {
        ...found,
        network: { name: "digits", settings: { weights: "others" } },
      });
    },
    "of images of another size": async () => {
      const found = await readReferenceFile(at("real.npz"));
      await writeReferenceFile(at("bad.npz"), { ...found, size: [32, 32] });
    },
    "images of another size": () => plantPngs(at("bad.npz"), new NDArray("uint8", [30, 5, 6, 3], new Uint8Array(2700))),
    "with other features": () => plantNpz(at("bad.npz"), { mu: float32([1]), sigma: float32([1], [1, 1]) }),
    "with few features": async () => {
      const { features, pictures: _, ...found } = await readReferenceFile(at("real.npz"));
      await writeReferenceFile(at("bad.npz"), { ...found, features: features!.rows(0, 3) });
    },
    damaged: () => {
      writeFileSync(at("bad.npz"), readFileSync(at("real.npz")).subarray(0, 9000));
    },
    missing: () => {},
  };
  test.each([
    ["of another network", /bad\.npz: expected features of digits \(weights \S+\), found those of inception-v3/],
    ["of other classifier weights", /bad\.npz: expected features of digits .*found those of digits \(weights others\)/],
    ["of images of another size", /bad\.npz: expected images of 28 × 28 as in \S+, found 32 × 32/],
    ["images of another size", /bad\.npz: expected images of 28 × 28 as in \S+, found 5 × 6/],
    ["with other features", /bad\.npz: expected 64 features as digits gives, found 1; it is of another network/],
    ["with few features", /expected more than 3 images for 3 nearest neighbours \(--neighbours\), found 3/],
    ["damaged", /bad\.npz: expected the directory of a zip file/],
    ["missing", /bad\.npz: no such file or folder/],
  ])("a reference %s, before anything is drawn", async (what, message) => {
    rmSync(at("bad.npz"), { recursive: true, force: true });
    await references[what]!();
    const argv = ["evaluate", teacher, ...drawing, "--reference", at("bad.npz"), "--out", at("refused")];
    const { code, stderr } = await run(argv);
    expect(stderr).toMatch(message);
    expect([code, stderr.match(/^tinyfusion: /gm)?.length, existsSync(at("refused"))]).toEqual([1, 1, false]);
  });

  test.each([
    [["--steps", "ddim2"], 2, /--steps applies to models that sample images; \S+set holds images/],
    [["--count", "30"], 2, /--count applies to models that sample images/],
    [["--neighbours", "24"], 1, /set: expected more than 24 images for 24 nearest neighbours/],
    [["--neighbours", "0"], 2, /--neighbours expects at least 1, got 0/],
    [["--features", "inception"], 1, /need the weights of Inception-v3/],
    [["--resize", "nearest"], 2, /--resize/],
    [["--inception-weights", at("pngs")], 1, /pngs: expected a regular file, found a folder without weights/],
  ])("%o beside images that are there", async (more, expected, message) => {
    const { code, stderr } = await evaluating(at("set"), "refused", ...more);
    expect(stderr).toMatch(message);
    expect([code, existsSync(at("refused"))]).toEqual([expected, false]);
  });

  test("a folder that takes no files, and one that holds another evaluation by chance", async () => {
    writeFileSync(at("no-folder"), "");
    const { code, stderr } = await evaluating(at("set"), "no-folder/x");
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^tinyfusion: cannot write \S+no-folder\S+: a part of this path is a file, not a folder/m),
    ]);
    mkdirSync(at("evaluations", "set"), { recursive: true });
    writeFileSync(at("evaluations", "set", "evaluation.json"), JSON.stringify({ samples: { name: "others" } }));
    const before = contents(at("evaluations"));
    const back = process.cwd();
    process.chdir(folder);
    try {
      const found = await run(["evaluate", at("set"), ...small]);
      expect([found.code, found.stderr]).toEqual([
        1,
        expect.stringMatching(/evaluation\.json is of other images \(others\); choose a folder with --out\n$/),
      ]);
    } finally {
      process.chdir(back);
    }
    expect(contents(at("evaluations"))).toEqual(before);
  });
});

describe("images that look alike", () => {
  const gray = (n: number, value: (i: number, pixel: number) => number) =>
    new NDArray(
      "uint8",
      [n, 28, 28, 1],
      Uint8Array.from({ length: n * 784 }, (_, at) => value(Math.floor(at / 784), at % 784)),
    );
  const evaluated = (...options: string[]) =>
    run(["evaluate", ...options, "--quick", "--out", at("alike"), "--threads", "1"]);
  beforeAll(async () => {
    await plantNpz(at("equal.npz"), { arr_0: gray(30, (_, pixel) => pixel % 256) });
    await plantNpz(at("some-equal.npz"), { arr_0: gray(30, (i, pixel) => (pixel * (1 + Math.max(0, i - 24))) % 256) });
    await plantNpz(at("other.npz"), { arr_0: gray(30, (i, pixel) => (pixel * (i + 1)) % 256) });
    await plantNpz(at("single.npz"), { arr_0: gray(1, (_, pixel) => pixel % 256) });
    await plantNpz(at("coloured.npz"), {
      arr_0: new NDArray(
        "uint8",
        [30, 28, 28, 3],
        Uint8Array.from({ length: 30 * 2352 }, (_, i) => i % 251),
      ),
    });
  });

  test.each([
    [
      "equal.npz",
      /equal\.npz: expected images that differ, .* take other images as the reference, or give --bandwidth/,
    ],
    ["some-equal.npz", /some-equal\.npz: expected images that differ/],
    ["single.npz", /single\.npz: expected at least 2 images for a reference, found 1; take more of them/],
    ["coloured.npz", /coloured\.npz: the digit classifier takes gray images, found a pixel of/],
  ])("as a reference, %s, are refused before the samples are looked at, naming the file and the remedy", async (name, message) => {
    const { code, stderr } = await evaluated(at("other.npz"), "--reference", at(name));
    expect(stderr).toMatch(message);
    expect(code).toBe(1);
    expect(stderr).not.toContain("features of 30 images of");
  });

  test("as samples are evaluated, with a warning of how many differ", async () => {
    for (const [name, distinct] of [
      ["equal.npz", 1],
      ["some-equal.npz", 6],
    ] as const) {
      const { code, stdout, stderr } = await evaluated(at(name), "--reference", at("other.npz"));
      expect(code, stderr).toBe(0);
      expect(stdout).toContain(
        `note: ${distinct} of the 30 samples of ${at(name)} differ, the others are equal to one of them`,
      );
    }
    expect((await evaluated(at("other.npz"), "--reference", at("other.npz"))).stdout).not.toContain(
      "differ, the others",
    );
  });
});
