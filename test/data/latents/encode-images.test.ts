import { execFileSync, spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import type { NDArray } from "../../../src/array/ndarray.ts";
import { centerCrop, unitImages } from "../../../src/data/images/prepare-images.ts";
import { type EncodeSettings, planShards } from "../../../src/data/latents/encode-images.ts";
import { openLatents } from "../../../src/data/latents/open-latents.ts";
import { float16ToFloat32, float32ToFloat16 } from "../../../src/formats/float16.ts";
import { decodeSafetensors } from "../../../src/formats/safetensors.ts";
import { noisePicture, plantImages } from "../images/plant-images.ts";
import { cellEncoder } from "./cell-encoder.ts";
import { encodeTiny, hashes } from "./encode-run.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tinyfusion-encode-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const out = () => join(folder, "out");
const shard = (number: number) =>
  decodeSafetensors(readFileSync(join(out(), `latents-0000${number}.safetensors`))).tensors;

/** Twenty images of two classes; three shards of up to 8. */
const twenty = Array.from({ length: 20 }, (_, i) => `${i < 12 ? "ant" : "bee"}/${String(i).padStart(2, "0")}.png`);

describe("shards", () => {
  test("hold the posteriors of the cropped images and of their mirror images, with labels", async () => {
    plantImages(join(folder, "images"), twenty);
    const { done, index } = await encodeTiny(folder, { flip: true });
    expect(done).toBe(20);
    expect(index!.shards.map(({ rows }) => rows)).toEqual([8, 8, 4]);
    expect(readdirSync(out()).sort()).toEqual([
      "config.json",
      "images.jsonl",
      "index.json",
      ...[0, 1, 2].map((number) => `latents-0000${number}.safetensors`),
    ]);
    const image = 13;
    const tensors = shard(1);
    expect([...tensors.get("index")!.data]).toEqual([8, 9, 10, 11, 12, 13, 14, 15]);
    expect([...tensors.get("labels")!.data]).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
    const crop = centerCrop(noisePicture(image), 16);
    for (const [mirrored, mean, std] of [
      [false, "mean", "std"],
      [true, "flippedMean", "flippedStd"],
    ] as const) {
      const expected = await cellEncoder().encode(unitImages([crop], mirrored));
      expect(tensors.get(mean)!.rows(5, 6).data).toEqual(expected.mean.data);
      expect(tensors.get(std)!.rows(5, 6).data).toEqual(expected.std.data);
    }
  });

  test("the index says what they are", async () => {
    plantImages(join(folder, "images"), twenty);
    const { index } = await encodeTiny(folder);
    const written = JSON.parse(readFileSync(join(out(), "index.json"), "utf8"));
    expect(written).toEqual(index);
    const sums = hashes(out());
    expect(written).toMatchObject({
      kind: "latents",
      version: 1,
      count: 20,
      numClasses: 2,
      classNames: ["ant", "bee"],
      shape: [4, 4, 4],
      imageSize: 16,
      flipped: false,
      dtype: "float32",
      scale: 0.18215,
      shift: 0.25,
      source: { images: join(folder, "images"), labelsFrom: "class folders", listed: 20 },
      vae: { path: "vae.safetensors", sha256: "cells" },
      shards: [0, 1, 2].map((number) => ({ sha256: sums[`latents-0000${number}.safetensors`] })),
      skipped: [],
    });
  });

  test("batches change no bit", async () => {
    plantImages(join(folder, "images"), twenty);
    await encodeTiny(folder, { batch: 3 });
    const before = hashes(out());
    rmSync(out(), { recursive: true });
    await encodeTiny(folder, { batch: 20 });
    expect(hashes(out())).toEqual(before);
  });

  test("in float16 are the rounded numbers in half the bytes", async () => {
    plantImages(join(folder, "images"), twenty);
    await encodeTiny(folder);
    const whole = shard(0).get("std")!.data as Float32Array;
    rmSync(out(), { recursive: true });
    await encodeTiny(folder, { dtype: "float16" });
    const half = shard(0).get("std")!;
    expect(half.dtype).toBe("float16");
    expect(float16ToFloat32(half.data as Uint16Array)).toEqual(float16ToFloat32(float32ToFloat16(whole)));
  });

  test("are of about 256 MB unless something else is wanted", () => {
    const settings = { imageSize: 256, flip: true, dtype: "float32", batch: 8 } as const;
    const plan = planShards(1_281_167, { channels: 4, factor: 8 }, settings);
    expect(plan.shape).toEqual([4, 32, 32]);
    expect(plan.imagesPerShard * 4 * 32 * 32 * 4 * 4).toBeLessThanOrEqual(256e6);
    expect(plan.imagesPerShard * 4 * 32 * 32 * 4 * 4).toBeGreaterThan(255e6);
    expect(plan.bytes).toBe(1_281_167 * 4 * 32 * 32 * 4 * 4);
    expect(plan.shards).toBe(Math.ceil(1_281_167 / plan.imagesPerShard));
  });
});

describe("stopped at any moment, the same command goes on to the same bits", () => {
  test("by a signal", async () => {
    plantImages(join(folder, "images"), twenty);
    await encodeTiny(folder, { flip: true });
    const whole = hashes(out());
    rmSync(out(), { recursive: true });
    const reached: number[] = [];
    for (let done = 0; done < 20; ) {
      const stop = new AbortController();
      const result = await encodeTiny(folder, { flip: true }, { signal: stop.signal, onProgress: () => stop.abort() });
      expect(result.index === undefined).toBe(result.done < 20);
      done = result.done;
      reached.push(done);
    }
    // A batch each, none across the end of a shard (8, 16).
    expect(reached).toEqual([3, 6, 8, 11, 14, 16, 19, 20]);
    expect(hashes(out())).toEqual(whole);
  });

  test("by another batch size in between", async () => {
    plantImages(join(folder, "images"), twenty);
    await encodeTiny(folder);
    const whole = hashes(out());
    rmSync(out(), { recursive: true });
    const stop = new AbortController();
    await encodeTiny(folder, { batch: 5 }, { signal: stop.signal, onProgress: () => stop.abort() });
    await encodeTiny(folder, { batch: 2 });
    expect(hashes(out())).toEqual(whole);
  });

  test("by kill -9", async () => {
    plantImages(join(folder, "images"), twenty);
    await encodeTiny(folder, { flip: true });
    const whole = hashes(out());
    rmSync(out(), { recursive: true });
    const progress: number[] = [];
    for (const lines of [1, 2, 2]) {
      progress.push(await killedAfter(lines));
      expect(readdirSync(out())).not.toContain("index.json");
    }
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    const { index } = await encodeTiny(folder, { flip: true });
    expect(index!.count).toBe(20);
    expect(hashes(out())).toEqual(whole);
  }, 30_000);

  test("a complete folder is left as it is", async () => {
    plantImages(join(folder, "images"), twenty);
    await encodeTiny(folder);
    const before = hashes(out());
    const encoder = cellEncoder({ encode: () => Promise.reject(new Error("nothing is to be encoded")) });
    const { index } = await encodeTiny(folder, {}, { encoder });
    expect(index!.count).toBe(20);
    expect(hashes(out())).toEqual(before);
  });
});

/** Runs the slow encoding until it has printed so many lines, and kills it; returns the last one. */
async function killedAfter(lines: number): Promise<number> {
  const script = join(import.meta.dirname, "encode-child.ts");
  const child = spawn(process.execPath, ["--import", "tsx", script, folder], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  await new Promise<void>((done) => {
    child.once("close", () => done());
    child.stdout.on("data", (piece) => {
      text += piece;
      if (text.split("\n").length > lines) child.kill("SIGKILL");
    });
  });
  expect(child.signalCode).toBe("SIGKILL");
  return Number(text.trim().split("\n").at(-1));
}

describe("images that cannot be read", () => {
  test("are skipped and listed with the reason", async () => {
    const names = twenty.map((name, i) => (i === 2 || i === 9 ? ([name, "no image"] as const) : name));
    plantImages(join(folder, "images"), names);
    const told: string[] = [];
    const { index } = await encodeTiny(folder, {}, { onProgress: (_done, skipped) => told.push(...skipped) });
    expect(index!.count).toBe(18);
    expect(index!.skipped).toEqual(
      ["ant/02.png", "ant/09.png"].map((name) => ({ name, reason: expect.stringContaining("expected a JPEG, PNG") })),
    );
    expect(told).toEqual(index!.skipped.map(({ name, reason }) => `${name}: ${reason}`));
    expect([...shard(0).get("index")!.data]).toEqual([0, 1, 3, 4, 5, 6, 7]);
    expect([...shard(1).get("index")!.data]).toEqual([8, 10, 11, 12, 13, 14, 15]);
  });

  test("may fill batches and shards", async () => {
    plantImages(
      join(folder, "images"),
      twenty.map((name, i) => (i < 16 ? ([name, "no image"] as const) : name)),
    );
    const { index } = await encodeTiny(folder);
    expect(index!.shards.map(({ rows }) => rows)).toEqual([0, 0, 4]);
    expect(index!.skipped).toHaveLength(16);
  });

  test("may not be all of them", async () => {
    plantImages(join(folder, "images"), [
      ["a/x.png", "no image"],
      ["a/y.png", ""],
    ]);
    const encoding = encodeTiny(folder);
    await expect(encoding).rejects.toThrow(InputError);
    await expect(encoding).rejects.toThrow(/none of 2 images could be read; the first, a\/x\.png: expected a JPEG/);
    expect(readdirSync(out())).not.toContain("index.json");
  });
});

describe("refused in one sentence", () => {
  beforeEach(() => plantImages(join(folder, "images"), twenty));

  test("a folder that holds latents with other settings, by name", async () => {
    const stop = new AbortController();
    await encodeTiny(folder, {}, { signal: stop.signal, onProgress: () => stop.abort() });
    const before = hashes(out());
    const again = encodeTiny(
      folder,
      { flip: true, dtype: "float16", batch: 9 },
      { encoder: cellEncoder({ sha256: "x" }) },
    );
    await expect(again).rejects.toThrow(InputError);
    await expect(again).rejects.toThrow(
      'holds latents with other settings (flip: was false, now true; dtype: was "float32", now "float16"; vae: was "cells", now "x"); repeat its settings',
    );
    expect(hashes(out())).toEqual(before);
  });

  test("images that were added meanwhile", async () => {
    const stop = new AbortController();
    await encodeTiny(folder, {}, { signal: stop.signal, onProgress: () => stop.abort() });
    plantImages(join(folder, "images"), ["ant/new.png"]);
    await expect(encodeTiny(folder)).rejects.toThrow("(images: 1 added (ant/new.png)); repeat its settings");
  });

  test("a folder of something else", async () => {
    mkdirSync(out());
    writeFileSync(join(out(), "config.json"), '{"command": "train", "steps": 3}');
    await expect(encodeTiny(folder)).rejects.toThrow(/other settings \(command: was "train", now "encode"\); repeat/);
  });

  test("a folder whose settings are lost or damaged, complete or begun: other ones would mix two sets", async () => {
    const stop = new AbortController();
    await encodeTiny(folder, {}, { signal: stop.signal, onProgress: () => stop.abort() });
    for (const kind of ["begun", "complete"]) {
      const settings = readFileSync(join(out(), "config.json"));
      rmSync(join(out(), "config.json"));
      for (const change of [{}, { flip: true }, { dtype: "float16" }] as const) {
        const again = encodeTiny(folder, change);
        await expect(again, kind).rejects.toThrow(
          /holds latents \(.*\) without their config.json, so their settings are unknown/,
        );
      }
      writeFileSync(join(out(), "config.json"), "{");
      await expect(encodeTiny(folder)).rejects.toThrow(
        /expected JSON.*the settings of the latents are unknown: restore/,
      );
      writeFileSync(join(out(), "config.json"), settings);
      await encodeTiny(folder);
    }
  });

  test("a first batch that fails, of which nothing stays in the way of other settings", async () => {
    const failing = { encoder: cellEncoder({ encode: () => Promise.reject(new InputError("no room")) }) };
    await expect(encodeTiny(folder, {}, failing)).rejects.toThrow("no room");
    expect(existsSync(out())).toBe(false);
    mkdirSync(out());
    writeFileSync(join(out(), "notes.txt"), "kept");
    await expect(encodeTiny(folder, {}, failing)).rejects.toThrow("no room");
    expect(readdirSync(out())).toEqual(["notes.txt"]);
    await encodeTiny(folder, { flip: true });
    await expect(encodeTiny(folder)).rejects.toThrow("flip: was true, now false");
  });

  test("a size that the encoder does not divide", async () => {
    await expect(encodeTiny(folder, { imageSize: 18 })).rejects.toThrow(
      "`size` 18: the autoencoder needs a multiple of 4",
    );
  });

  test("a folder that another encoding fills", async () => {
    let again: Promise<unknown> | undefined;
    await encodeTiny(folder, {}, { onProgress: () => (again ??= encodeTiny(folder).catch((error) => error)) });
    expect(await again).toBeInstanceOf(InputError);
    expect(String(await again)).toContain("is in use by process");
  });

  test.each([
    ["float32", Number.NaN, "the autoencoder gives a latent that is NaN; are its weights damaged?"],
    ["float32", Number.POSITIVE_INFINITY, "the autoencoder gives a latent that is Infinity; are its weights damaged?"],
    ["float16", 70_000, "a latent of 70000 is too large for float16; use `dtype` float32"],
  ] as const)("an encoder that gives, for %s, %d: the image is named", async (dtype, value, message) => {
    const encode = async (images: NDArray<"float32">) => {
      const { mean, std } = await cellEncoder().encode(images);
      mean.data[mean.size / 2] = value; // the first of the second of two images
      return { mean, std };
    };
    const encoding = encodeTiny(folder, { dtype, batch: 2 }, { encoder: cellEncoder({ encode }) });
    await expect(encoding).rejects.toThrow(InputError);
    await expect(encoding).rejects.toThrow(`ant/01.png: ${message}`);
  });
});

test("a full disk gives one message, and the command goes on when there is room", async ({ skip }) => {
  plantImages(join(folder, "images"), twenty);
  await encodeTiny(folder);
  const whole = hashes(out());
  rmSync(out(), { recursive: true });
  mkdirSync(out());
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=28k", "tmpfs", out()], { stdio: "pipe" });
  } catch (error) {
    skip(`mounting a small disk needs root on Linux: ${(error as Error).message.split("\n")[0]}`);
  }
  try {
    const encoding = encodeTiny(folder);
    await expect(encoding).rejects.toThrow(InputError);
    await expect(encoding).rejects.toThrow(/^cannot (write|make folder) .*: the disk is full; free some space/);
    expect(readdirSync(out(), { recursive: true }).filter((name) => String(name).includes(".tmp-"))).toEqual([]);
    execFileSync("mount", ["-o", "remount,size=4m", out()]);
    await encodeTiny(folder);
    expect(hashes(out())).toEqual(whole);
  } finally {
    execFileSync("umount", [out()]);
  }
});

describe("repeated after it was complete", () => {
  const at = (name: string) => join(out(), name);
  /** Encodes again; returns the notes. */
  const again = async (settings: Partial<EncodeSettings> = {}) => {
    const notes: string[] = [];
    const result = await encodeTiny(folder, settings, { onNote: (line) => notes.push(line) });
    expect(result.index).toBeDefined();
    return notes;
  };
  const flip = (path: string, at: number) => {
    const bytes = readFileSync(path);
    bytes[at < 0 ? bytes.length + at : at]! ^= 1;
    writeFileSync(path, bytes);
  };

  test.each<[string, string, (path: string) => void]>([
    ["deleted", "missing", (path) => rmSync(path)],
    ["cut off", "damaged", (path) => truncateSync(path, 1000)],
    ["empty", "damaged", (path) => writeFileSync(path, "")],
    ["flipped in its header", "damaged", (path) => flip(path, 20)],
    ["flipped in its latents", "damaged", (path) => flip(path, -1)],
    ["another shard", "damaged", (path) => writeFileSync(path, readFileSync(at("latents-00000.safetensors")))],
  ])("makes a shard again that is %s, and only that, to the same bytes", async (_, what, damage) => {
    plantImages(join(folder, "images"), twenty);
    await encodeTiny(folder, { flip: true });
    const whole = hashes(out());
    const path = at("latents-00001.safetensors");
    damage(path);
    await expect(openLatents(out(), { verify: true })).rejects.toThrow(
      /repeat the command "tinyfusion encode" that was begun there/,
    );
    const { mtimeMs } = statSync(at("latents-00002.safetensors"));
    expect(await again({ flip: true, batch: 5 })).toEqual([`encoded again: ${path} is ${what}`]);
    expect(hashes(out())).toEqual(whole);
    expect(statSync(at("latents-00002.safetensors")).mtimeMs).toBe(mtimeMs);
    expect(await again({ flip: true })).toEqual([]);
  });

  test("makes a damaged index again, but leaves one of a later version alone", async () => {
    plantImages(join(folder, "images"), twenty);
    await encodeTiny(folder);
    const whole = hashes(out());
    for (const damaged of ["", "{", '{"kind":"latents","version":1}']) {
      writeFileSync(at("index.json"), damaged);
      await again();
      expect(hashes(out())).toEqual(whole);
    }
    writeFileSync(at("index.json"), '{"kind":"latents","version":2}');
    await expect(encodeTiny(folder)).rejects.toThrow(/expected an index of latents of version 1, found .* version 2/);
  });

  test("names images whose files changed, and what to do; nothing is written", async () => {
    plantImages(join(folder, "images"), twenty);
    await encodeTiny(folder);
    const whole = hashes(out());
    const [three, nineteen] = ["ant/03.png", "bee/19.png"].map((name) => join(folder, "images", name)) as [
      string,
      string,
    ];
    const before = readFileSync(three);
    const { atime, mtime } = statSync(three);
    writeFileSync(three, readFileSync(nineteen)); // of another size
    flip(nineteen, -1); // of the same
    utimesSync(three, atime, mtime);
    rmSync(at("latents-00001.safetensors"));
    const changed = encodeTiny(folder);
    await expect(changed).rejects.toThrow(InputError);
    await expect(changed).rejects.toThrow(
      "2 of 20 images changed since they were encoded (ant/03.png, bee/19.png); put them back, choose another `out`, or delete",
    );
    writeFileSync(three, before);
    flip(nineteen, -1);
    utimesSync(three, new Date(), new Date()); // touched, not changed
    await again();
    expect(hashes(out())).toEqual(whole);
  });

  test("names images that were added, removed or moved to another class", async () => {
    plantImages(join(folder, "images"), twenty);
    await encodeTiny(folder);
    const image = (name: string) => join(folder, "images", name);
    writeFileSync(image("ant/new.png"), readFileSync(image("ant/00.png")));
    await expect(encodeTiny(folder)).rejects.toThrow("(images: 1 added (ant/new.png)); repeat its settings to resume");
    rmSync(image("ant/new.png"));
    for (const i of [1, 2, 3, 4, 5, 6]) rmSync(image(`ant/0${i}.png`));
    await expect(encodeTiny(folder)).rejects.toThrow(
      "(images: 6 removed (ant/01.png, ant/02.png, ant/03.png, ant/04.png, ant/05.png, …))",
    );
  });

  test("of an earlier version, which noted no images, is read as before and makes its shards again", async () => {
    plantImages(join(folder, "images"), twenty);
    await encodeTiny(folder);
    const { "images.jsonl": _, ...shards } = hashes(out());
    rmSync(at("images.jsonl"));
    expect(await again()).toEqual([]);
    rmSync(at("latents-00002.safetensors"));
    expect(await again()).toEqual([`encoded again: ${at("latents-00002.safetensors")} is missing`]);
    expect(hashes(out())).toMatchObject(shards);
  });
});

describe("stopped in the middle", () => {
  test("a damaged shard and a damaged batch are encoded again, and an image that changed is named", async () => {
    plantImages(join(folder, "images"), twenty);
    await encodeTiny(folder);
    const whole = hashes(out());
    rmSync(out(), { recursive: true });
    const stop = new AbortController();
    const onProgress = (done: number) => done >= 14 && stop.abort();
    await encodeTiny(folder, {}, { signal: stop.signal, onProgress });
    const damage = (path: string) => {
      const bytes = readFileSync(path);
      bytes[bytes.length - 1]! ^= 1;
      writeFileSync(path, bytes);
    };
    damage(join(out(), "latents-00000.safetensors"));
    damage(join(out(), "pieces", "piece-00000008-00000011.safetensors"));
    const image = join(folder, "images", "ant/02.png");
    const before = readFileSync(image);
    writeFileSync(image, "");
    await expect(encodeTiny(folder)).rejects.toThrow("1 of 14 images changed since they were encoded (ant/02.png)");
    writeFileSync(image, before);
    const notes: string[] = [];
    await encodeTiny(folder, {}, { onNote: (line) => notes.push(line) });
    expect(notes).toEqual([`encoded again: ${join(out(), "latents-00000.safetensors")} is damaged`]);
    expect(hashes(out())).toEqual(whole);
  });
});
