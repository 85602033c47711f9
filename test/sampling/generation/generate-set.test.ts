/** Sets of generated images: what is in them, and that stopping, damage, other settings and a full folder change nothing. */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { float32, type NDArray, sizeOf } from "../../../src/array/ndarray.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { openImageSet } from "../../../src/evaluation/images/open-image-set.ts";
import { imageBytes } from "../../../src/formats/image-bytes.ts";
import { openNpz } from "../../../src/formats/npz.ts";
import { modelOf } from "../../../src/models/registry.ts";
import { type GenerateSetRequest, generateSet } from "../../../src/sampling/generation/generate-set.ts";
import { labelsFrom, sampleImages } from "../../../src/sampling/sample-images.ts";
import { lockFolder } from "../../../src/storage/lock.ts";
import { fileBytes } from "../../../src/storage/read.ts";
import { weightSpecs } from "../../../src/weights/weight-specs.ts";
import { countedEngine } from "../../engine/counted-engine.ts";

import { awakeWeights, tinyModel } from "../../training/tiny.ts";

const folder = mkdtempSync(join(tmpdir(), "generate-set-"));
afterAll(() => rmSync(folder, { recursive: true }));

const engine = countedEngine(cpuEngine({ threads: 1 }));
const model = tinyModel(2);
const weights = awakeWeights(weightSpecs(model));
const classes = [0, 1, 2];
const COUNT = 21;
const SHARD = 8;

const at = (name: string, ...path: string[]) => join(folder, name, ...path);

function draw(name: string, change: Partial<GenerateSetRequest> = {}) {
  return generateSet({
    ...{ engine, model, weights, seed: 5, steps: "ddim3", internalBatch: 4, out: at(name), count: COUNT },
    ...{
      labels: { mode: "uniform", classes },
      shardSize: SHARD,
      metadata: { modelFile: { path: "tiny", sha256: "1" } },
    },
    ...{ threads: 1, versions: { tinyfusion: "1" } },
    ...change,
  });
}

/** Every file but the description, by name. */
const contents = (name: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(at(name), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".npz"))
      .sort()
      .map((file) => [file, readFileSync(at(name, file)).toString("base64")]),
  );

const filled = (shape: readonly number[]) => new Float32Array(sizeOf(shape)).fill(Number.NaN);

async function arrays(path: string): Promise<Record<string, NDArray>> {
  const { tensors } = await openNpz(await fileBytes(path));
  const read = Array.from(tensors, async ([name, tensor]) => [name, await tensor.read()] as const);
  return Object.fromEntries(await Promise.all(read));
}

let whole: Promise<Record<string, string>> | undefined;
/** The files of the set drawn in one piece. */
const wholeSet = () => {
  whole ??= draw("whole").then(() => contents("whole"));
  return whole;
};

describe("a set of generated images", () => {
  test("holds the images of `generate` as bytes, in shards and in one file, with their labels", async () => {
    const files = await wholeSet();
    expect(Object.keys(files)).toEqual(["samples.npz", "shards/00000.npz", "shards/00001.npz", "shards/00002.npz"]);
    const labels = labelsFrom({ mode: "uniform", classes, seed: 5 }, COUNT);
    const { images } = await sampleImages({
      engine,
      model,
      weights,
      labels,
      seed: 5,
      steps: "ddim3",
      internalBatch: 8,
    });
    const all = await arrays(at("whole", "samples.npz"));
    expect(all.arr_0!.shape).toEqual([COUNT, 8, 8, 3]);
    expect(all.arr_0!.dtype).toBe("uint8");
    expect(Buffer.from(all.arr_0!.data as Uint8Array).equals(Buffer.from(imageBytes(images).data))).toBe(true);
    expect(all.arr_1!.dtype).toBe("int64");
    expect(Array.from(all.arr_1!.data as BigInt64Array, Number)).toEqual([...labels]);
    const last = await arrays(at("whole", "shards/00002.npz"));
    expect(last.arr_0!.shape).toEqual([5, 8, 8, 3]);
    expect([...(last.arr_0!.data as Uint8Array)]).toEqual([...(all.arr_0!.rows(16, COUNT).data as Uint8Array)]);
    expect(Array.from(last.arr_1!.data as BigInt64Array, Number)).toEqual([...labels.subarray(16)]);
  });

  test("says everything that it depends on, defaults filled in", async () => {
    await wholeSet();
    expect(JSON.parse(readFileSync(at("whole", "generate.json"), "utf8"))).toEqual({
      ...{ kind: "generated images", version: 1, count: COUNT, shardSize: SHARD, image: [8, 8, 3], seed: 5 },
      ...{
        labels: { mode: "uniform", classes: "all" },
        modelFile: { path: "tiny", sha256: "1" },
        batch: 4,
        threads: 1,
      },
      sampling: { steps: "ddim3", sampler: "ddim", eta: 0, clip: false, cfgScale: 2, cfgChannels: 1 },
      derived: { timesteps: [0, 334, 668] },
      versions: { tinyfusion: "1" },
    });
  });

  test.each([2, 3, 5, 32])("is the same, bit for bit, in batches of %d", async (internalBatch) => {
    await draw(`batch-${internalBatch}`, { internalBatch });
    expect(contents(`batch-${internalBatch}`)).toEqual(await wholeSet());
  });

  test("stopped at any evaluation and gone on with in another batch size, is the same, bit for bit", async () => {
    for (const stopAt of [1, 5, 8, 11, 16]) {
      const name = `stopped-${stopAt}`;
      const controller = new AbortController();
      let evaluations = 0;
      const onProgress = ({ atHand }: { atHand: number }) => {
        if (atHand > 0 && ++evaluations === stopAt) controller.abort();
      };
      const stopped = await draw(name, { signal: controller.signal, onProgress });
      expect(stopped).toMatchObject({ finished: false, images: SHARD * Math.floor((stopAt - 1) / 6) });
      expect(existsSync(at(name, "samples.npz"))).toBe(false);
      const seen: number[] = [];
      const finished = await draw(name, { internalBatch: 5, onStart: (images) => seen.push(images) });
      expect(seen).toEqual([stopped.images]);
      expect(finished).toMatchObject({ finished: true, images: COUNT, newImages: COUNT - stopped.images });
      expect(contents(name)).toEqual(await wholeSet());
    }
  });

  test("of a larger count goes on from a smaller one, and a smaller count is refused", async () => {
    await draw("grown", { count: 10 });
    const { newImages } = await draw("grown");
    expect(newImages).toBe(COUNT - SHARD); // the shard of two is sampled again
    expect(contents("grown")).toEqual(await wholeSet());
    expect(JSON.parse(readFileSync(at("grown", "generate.json"), "utf8")).count).toBe(COUNT);
    const smaller = draw("grown", { count: 20 });
    await expect(smaller).rejects.toThrow(InputError);
    await expect(smaller).rejects.toThrow("holds 21 images already, `count` 20 is fewer; ask for 21 or more");
    expect(contents("grown")).toEqual(await wholeSet());
  });

  test("that is complete draws nothing", async () => {
    await wholeSet();
    expect(await draw("whole")).toMatchObject({ finished: true, newImages: 0, seconds: 0, images: COUNT });
  });

  test("is looked at before anything is compiled, be it complete, of other settings or another process's", async () => {
    await wholeSet();
    const { programs } = engine.counters;
    await draw("whole");
    await expect(draw("whole", { seed: 6 })).rejects.toThrow(InputError);
    const release = lockFolder(at("whole"));
    await expect(draw("whole")).rejects.toThrow(/is in use by process/);
    release();
    expect(engine.counters.programs).toBe(programs);
  });

  test("that has no image yet takes other settings: the first ones made the model diverge", async () => {
    const broken = new Map(Array.from(weights, ([name, { shape }]) => [name, float32(filled(shape), shape)]));
    await expect(draw("diverged", { weights: broken })).rejects.toThrow(/image 0 .*try more `steps` or less `cfg`/);
    expect(existsSync(at("diverged", "generate.json"))).toBe(true);
    await draw("diverged", { steps: "ddim2" });
    expect(JSON.parse(readFileSync(at("diverged", "generate.json"), "utf8")).sampling.steps).toBe("ddim2");
    expect(readdirSync(at("diverged", "shards"))).toHaveLength(3);
  });

  test.each<[string, (path: string) => void]>([
    ["cut off", (path) => truncateSync(path, 900)],
    ["empty", (path) => writeFileSync(path, "")],
    ["another shard", (path) => writeFileSync(path, readFileSync(join(path, "../00000.npz")))],
  ])("draws a shard again that is %s, and says so", async (what, damage) => {
    const name = what.replace(" ", "-");
    await draw(name);
    damage(at(name, "shards/00001.npz"));
    const notes: string[] = [];
    const { newImages } = await draw(name, { onNote: (line) => notes.push(line) });
    expect([newImages, notes.length]).toEqual([SHARD, 1]);
    expect(notes[0]).toMatch(/^sampled again: .*00001\.npz/);
    expect(contents(name)).toEqual(await wholeSet());
  });

  /** Flips a bit of the byte at `share` of a file. */
  const flip = (path: string, share: number) => {
    const bytes = readFileSync(path);
    bytes[Math.floor(share * (bytes.length - 1))]! ^= 1;
    writeFileSync(path, bytes);
  };

  test.each([
    0.005, 0.3, 0.6, 0.95, 1,
  ])("draws a shard again of which a bit at %d is flipped, be samples.npz there or not", async (share) => {
    const name = `flipped-${share}`;
    await draw(name);
    flip(at(name, "shards/00001.npz"), share);
    if (share > 0.5) rmSync(at(name, "samples.npz"));
    const notes: string[] = [];
    const { newImages } = await draw(name, { onNote: (line) => notes.push(line) });
    expect([newImages, notes]).toEqual([
      SHARD,
      [`sampled again: ${at(name, "shards/00001.npz")}: damaged: its SHA-256 is not the one in checksums.jsonl`],
    ]);
    expect(contents(name)).toEqual(await wholeSet());
  });

  test.each<[string, (path: string) => void]>([
    ["deleted", (path) => rmSync(path)],
    ["cut off", (path) => truncateSync(path, 900)],
    ["flipped in its images", (path) => flip(path, 0.4)],
    ["flipped in its last byte", (path) => flip(path, 1)],
    ["of other images", (path) => writeFileSync(path, readFileSync(at("whole", "shards/00000.npz")))],
  ])("makes samples.npz again from the shards where it is %s, and draws nothing", async (what, damage) => {
    await wholeSet();
    for (const isOld of [false, true]) {
      const name = `joined-${what.replaceAll(" ", "-")}-${isOld}`;
      await draw(name);
      if (isOld) rmSync(at(name, "checksums.jsonl"));
      damage(at(name, "samples.npz"));
      expect(await draw(name)).toMatchObject({ finished: true, newImages: 0 });
      expect(contents(name)).toEqual(await wholeSet());
    }
  });

  test("of an earlier version, without SHA-256, is complete as it is, and its content is compared with its own checksums", async () => {
    await draw("old");
    rmSync(at("old", "checksums.jsonl"));
    expect((await draw("old")).newImages).toBe(0);
    expect(readFileSync(at("old", "checksums.jsonl"), "utf8")).toBe(
      readFileSync(at("whole", "checksums.jsonl"), "utf8"),
    );
    rmSync(at("old", "checksums.jsonl"));
    flip(at("old", "shards/00001.npz"), 0.4);
    const notes: string[] = [];
    expect((await draw("old", { onNote: (line) => notes.push(line) })).newImages).toBe(SHARD);
    expect(notes).toEqual([expect.stringMatching(/00001\.npz: damaged: .* another checksum than it names/)]);
    expect(contents("old")).toEqual(await wholeSet());
  });

  test("with damaged shards is not opened: all of them are named, and what to do", async () => {
    await draw("named");
    flip(at("named", "shards/00000.npz"), 0.4);
    rmSync(at("named", "shards/00002.npz"));
    const opened = openImageSet(at("named"));
    await expect(opened).rejects.toThrow(InputError);
    await expect(opened).rejects.toThrow(
      /2 of 3 shards are missing or damaged \(.*00000\.npz: damaged: .*; .*00002\.npz is missing\); repeat the command that began/,
    );
    rmSync(at("named", "checksums.jsonl"));
    await expect(openImageSet(at("named"))).rejects.toThrow(/2 of 3 shards .*00000\.npz: damaged.* repeat the command/);
    await draw("named");
    expect((await openImageSet(at("named"))).count).toBe(COUNT);
  });

  test("refuses other settings and names them, but not another place of the model", async () => {
    await draw("settings");
    const before = readFileSync(at("settings", "generate.json"), "utf8");
    const other = draw("settings", {
      ...{ seed: 6, cfgScale: 1.5, labels: { mode: "balanced", classes: [1, 2] } },
      metadata: { modelFile: { path: "moved", sha256: "2" }, kept: [0] },
    });
    await expect(other).rejects.toThrow(InputError);
    await expect(other).rejects.toThrow(
      'holds images with other settings (modelFile.sha256: was "1", now "2"; seed: was 5, now 6; ' +
        'labels.mode: was "uniform", now "balanced"; labels.classes: was "all", now [1,2]; ' +
        "sampling.cfgScale: was 2, now 1.5; kept: was absent, now [0]); repeat its settings to resume, choose another `out`",
    );
    expect(readFileSync(at("settings", "generate.json"), "utf8")).toBe(before);
    // The whole set without its shards is not empty either.
    rmSync(at("settings", "shards"), { recursive: true });
    await expect(draw("settings", { seed: 6 })).rejects.toThrow(
      "holds images with other settings (seed: was 5, now 6)",
    );
    await draw("settings", { metadata: { modelFile: { path: "moved", sha256: "1" } } });
  });

  test("goes on with other threads or versions, warns, and keeps a note of it", async () => {
    await draw("threads", { count: 8 });
    const notes: string[] = [];
    await draw("threads", { threads: 2, versions: { tinyfusion: "2" }, onNote: (line) => notes.push(line) });
    const changes = ["threads: was 1, now 2", 'versions.tinyfusion: was "1", now "2"'];
    expect(notes).toEqual(
      changes.map((line) => `going on with another setting, so equal only up to rounding: ${line}`),
    );
    const { threads, roundingAlso } = JSON.parse(readFileSync(at("threads", "generate.json"), "utf8"));
    expect({ threads, roundingAlso }).toEqual({ threads: 1, roundingAlso: changes });
  });

  test("is one process's own, and never fills a folder of other files", async () => {
    const release = lockFolder(at("busy"));
    await expect(draw("busy")).rejects.toThrow(/is in use by process/);
    release();
    writeFileSync(at("busy", "holiday.png"), "");
    await expect(draw("busy")).rejects.toThrow("holds other files (holiday.png); choose a new folder as `out`");
    expect(readdirSync(at("busy"))).toEqual(["holiday.png"]);
  });
});

describe("what is sampled", () => {
  const latent = modelOf({ ...model.config, inChannels: 4 });
  const latents = { model: latent, weights: awakeWeights(weightSpecs(latent)) };

  test("latents pass through the decoder, in whatever batches", async () => {
    const seen: (readonly number[])[] = [];
    const decoder = {
      side: 16,
      async decode(z: NDArray<"float32">) {
        seen.push(z.shape);
        const n = z.shape[0]!;
        return float32(
          Float32Array.from({ length: n * 3 * 256 }, (_, i) => z.data[Math.floor(i / 768) * 256 + (i % 256)]! / 4),
          [n, 3, 16, 16],
        );
      },
    };
    await draw("latents", { ...latents, decoder });
    expect(seen[0]).toEqual([4, 4, 8, 8]);
    const { arr_0 } = await arrays(at("latents", "samples.npz"));
    expect(arr_0!.shape).toEqual([COUNT, 16, 16, 3]);
    await draw("latents-5", { ...latents, decoder, internalBatch: 5 });
    expect(contents("latents-5")).toEqual(contents("latents"));
  });

  test("latents without a decoder are refused before anything is written", async () => {
    await expect(draw("no-decoder", latents)).rejects.toThrow("expected a decoder for this model's 4-channel latents");
    expect(existsSync(at("no-decoder"))).toBe(false);
  });

  test("values that are not numbers stop the run and name the image; shards before it stay", async () => {
    const decoder = {
      side: 8,
      async decode(z: NDArray<"float32">) {
        if (z.data[0]! !== firstOf12) return z.reshape(z.shape);
        const broken = Float32Array.from(z.data);
        broken[64 + 3] = Number.NaN;
        return float32(broken, z.shape);
      },
    };
    const labels = labelsFrom({ mode: "uniform", classes, seed: 5 }, COUNT);
    const { images } = await sampleImages({
      engine,
      model,
      weights,
      labels,
      seed: 5,
      steps: "ddim3",
      internalBatch: 4,
    });
    const firstOf12 = images.rows(12, 13).data[0]!;
    const broken = draw("broken", { decoder });
    await expect(broken).rejects.toThrow(InputError);
    await expect(broken).rejects.toThrow(`image 13 (class ${labels[13]}) has the value NaN`);
    expect(readdirSync(at("broken", "shards"))).toEqual(["00000.npz"]);
  });

  test("images that depend on their batch make the batch a setting, and shards whole batches", async () => {
    const config = { ...model.config, family: "sit", learnSigma: false, timeScale: 1 };
    const sit = modelOf(config);
    const flow = { model: sit, weights: awakeWeights(weightSpecs(sit)), steps: "3", sampler: "dopri5" } as const;
    const coupled = { ...flow, dopriNorm: "batch", count: 10, rtol: 0.1, atol: 0.1 } as const;
    await expect(draw("coupled", { ...coupled, internalBatch: 5 })).rejects.toThrow(
      "8 images of a shard are no multiple of 5",
    );
    await draw("coupled", coupled);
    await expect(draw("coupled", { ...coupled, internalBatch: 2 })).rejects.toThrow("batchTogether: was 4, now 2");
  });
});
