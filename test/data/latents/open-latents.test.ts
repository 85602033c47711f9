import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { NDArray, zeros } from "../../../src/array/ndarray.ts";
import { drawLatents } from "../../../src/data/autoencoder/posterior.ts";
import { openLatents } from "../../../src/data/latents/open-latents.ts";
import type { RowKey } from "../../../src/data/training-set.ts";
import { decodeSafetensors, encodeSafetensors } from "../../../src/formats/safetensors.ts";
import type { AutoencoderConfig } from "../../../src/models/autoencoder/config.ts";
import { plantImages } from "../images/plant-images.ts";
import { encodeTiny } from "./encode-run.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tinyfusion-latents-"));
  plantImages(
    join(folder, "images"),
    Array.from({ length: 20 }, (_, i) => `${i < 12 ? "ant" : "bee"}/${String(i).padStart(2, "0")}.png`),
  );
});
afterEach(() => rmSync(folder, { recursive: true }));

const out = () => join(folder, "out");
const key =
  (step: number, index: number): RowKey =>
  (purpose) => ({ seed: 7, purpose, step, index });
const tensorsOf = (shard: number) =>
  decodeSafetensors(readFileSync(join(out(), `latents-0000${shard}.safetensors`))).tensors;

/** The examples 0 … 19 in an order that jumps between the shards (of 8, 8 and 4). */
const order = Int32Array.from({ length: 20 }, (_, i) => (i * 7) % 20);

describe("rows are fresh draws from the posteriors", () => {
  test("with the bits of an autoencoder's own draw, and the labels of their images", async () => {
    await encodeTiny(folder);
    const set = await openLatents(out());
    expect(set).toMatchObject({ size: 20, numClasses: 2, shape: [4, 4, 4] });
    const keys = Array.from(order, (_, row) => key(3, row));
    const { images, labels } = await set.read(order, keys);
    expect(images.shape).toEqual([20, 4, 4, 4]);
    expect([...labels]).toEqual(Array.from(order, (example) => (example < 12 ? 0 : 1)));
    const config = { scalingFactor: 0.18215, shiftFactor: 0.25 } as AutoencoderConfig;
    order.forEach((example, row) => {
      const tensors = tensorsOf(Math.floor(example / 8));
      const rowOf = (name: string) => tensors.get(name)!.rows(example % 8, (example % 8) + 1) as NDArray<"float32">;
      const drawn = drawLatents({ mean: rowOf("mean"), std: rowOf("std") }, config, [keys[row]!("posterior")]);
      expect(images.rows(row, row + 1).data).toEqual(drawn.data);
    });
    await set.release();
  });

  test("that do not depend on how examples are grouped into calls", async () => {
    await encodeTiny(folder, { flip: true });
    const set = await openLatents(out());
    const keys = Array.from(order, (_, row) => key(3, row));
    const whole = await set.read(order, keys);
    for (const size of [1, 3, 8]) {
      for (let first = 0; first < 20; first += size) {
        const end = Math.min(20, first + size);
        const part = await set.read(order.subarray(first, end), keys.slice(first, end));
        expect(part.images.data).toEqual(whole.images.rows(first, end).data);
        expect(part.labels).toEqual(whole.labels.subarray(first, end));
      }
    }
    await set.release();
  });

  test("that differ from step to step, and follow the posterior", async () => {
    await encodeTiny(folder);
    const set = await openLatents(out());
    const draws = 2000;
    const example = new Int32Array(draws).fill(13);
    const { images } = await set.read(
      example,
      Array.from(example, (_, step) => key(step, 0)),
    );
    const element = 17;
    const values = Array.from({ length: draws }, (_, i) => images.data[i * 64 + element]! / 0.18215 + 0.25);
    const average = values.reduce((sum, value) => sum + value, 0) / draws;
    const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - average) ** 2, 0) / draws);
    const [mean, std] = ["mean", "std"].map((name) => Number(tensorsOf(1).get(name)!.data[5 * 64 + element]));
    expect(Math.abs(average - mean!)).toBeLessThan((4 * std!) / Math.sqrt(draws));
    expect(spread / std!).toBeGreaterThan(0.93);
    expect(spread / std!).toBeLessThan(1.07);
    await set.release();
  });

  test("of the image or its mirror image, each in half of the draws", async () => {
    await encodeTiny(folder, { flip: true });
    const set = await openLatents(out());
    const example = new Int32Array(400).fill(13);
    const { images } = await set.read(
      example,
      Array.from(example, (_, step) => key(step, 0)),
    );
    const distance = (row: number, name: string) => {
      const means = tensorsOf(1).get(name)!.rows(5, 6).data;
      const latent = images.rows(row, row + 1).data;
      return latent.reduce((sum, value, j) => sum + (value / 0.18215 + 0.25 - Number(means[j])) ** 2, 0);
    };
    const mirrored = Array.from(example, (_, row) => distance(row, "flippedMean") < distance(row, "mean"));
    const count = mirrored.filter(Boolean).length;
    expect(count).toBeGreaterThan(160);
    expect(count).toBeLessThan(240);
    await set.release();
  });

  test("also from float16", async () => {
    await encodeTiny(folder);
    const whole = await openLatents(out());
    const keys = Array.from(order, (_, row) => key(3, row));
    const exact = await whole.read(order, keys);
    await whole.release();
    rmSync(out(), { recursive: true });
    await encodeTiny(folder, { dtype: "float16" });
    const set = await openLatents(out());
    const { images } = await set.read(order, keys);
    const largest = images.data.reduce((most, value, i) => Math.max(most, Math.abs(value - exact.images.data[i]!)), 0);
    expect(largest).toBeGreaterThan(0);
    expect(largest).toBeLessThan(1e-3);
    await set.release();
  });

  test("a row without a key, or one that does not exist, is a mistake of the program", async () => {
    await encodeTiny(folder);
    const set = await openLatents(out());
    await expect(set.read(Int32Array.of(1, 2), [key(0, 0)])).rejects.toThrow(RangeError);
    for (const wrong of [20, -1]) {
      await expect(set.read(Int32Array.of(wrong), [key(0, 0)])).rejects.toThrow(`example ${wrong} does not exist`);
    }
    await set.release();
  });
});

test("a set is known by its contents, not by its place", async () => {
  await encodeTiny(folder);
  const sha256 = async (path: string) => {
    const set = await openLatents(path);
    await set.release();
    return set.sha256;
  };
  const original = await sha256(out());
  cpSync(out(), join(folder, "copy"), { recursive: true });
  expect(await sha256(join(folder, "copy"))).toBe(original);
  rmSync(out(), { recursive: true });
  await encodeTiny(folder, { flip: true });
  expect(await sha256(out())).not.toBe(original);
});

test("memory is bounded: opening reads labels, and a row reads its own bytes", async ({ skip }) => {
  skip(process.platform !== "linux", "counts bytes in /proc/self/io");
  const [rows, shape] = [4096, [4, 16, 16]];
  const tensors = new Map<string, NDArray>([
    ["mean", zeros("float32", [rows, ...shape])],
    ["std", zeros("float32", [rows, ...shape])],
    ["labels", zeros("int32", [rows])],
    ["index", zeros("int32", [rows])],
  ]);
  await encodeTiny(folder, { shardSize: 20 });
  const bytes = Buffer.concat([...encodeSafetensors(tensors)]);
  writeFileSync(join(out(), "latents-00000.safetensors"), bytes);
  change((index) => ({ ...index, shape, count: rows, shards: [{ ...index.shards[0], rows, bytes: bytes.length }] }));
  const readSoFar = () => Number(/rchar: (\d+)/.exec(readFileSync("/proc/self/io", "utf8"))![1]);
  const start = readSoFar();
  const set = await openLatents(out());
  const opened = readSoFar();
  const examples = Int32Array.from({ length: 64 }, (_, i) => i * 61);
  await set.read(
    examples,
    Array.from(examples, (_, row) => key(0, row)),
  );
  const done = readSoFar();
  await set.release();
  const slack = 200_000; // /proc, the index, and what vitest reads in the same process; a hundredth of one tensor
  expect(opened - start).toBeLessThan(4 * rows + slack);
  expect(done - opened).toBeGreaterThanOrEqual(64 * 2 * 4096);
  expect(done - opened).toBeLessThan(64 * 2 * 4096 + slack);
  expect(bytes.length).toBeGreaterThan(33e6);
});

// biome-ignore lint/suspicious/noExplicitAny: damaged on purpose
type AnyIndex = any;

/** Rewrites the index. */
function change(to: (index: AnyIndex) => unknown): void {
  const path = join(out(), "index.json");
  writeFileSync(path, JSON.stringify(to(JSON.parse(readFileSync(path, "utf8")))));
}

const changeShard = (to: (tensors: Map<string, NDArray>) => void) => {
  const tensors = tensorsOf(1);
  to(tensors);
  const bytes = Buffer.concat([...encodeSafetensors(tensors)]);
  writeFileSync(join(out(), "latents-00001.safetensors"), bytes);
  change((index) => {
    index.shards[1].bytes = bytes.length;
    return index;
  });
};

describe("a folder that is not right is refused in one sentence", () => {
  const first = () => join(out(), "latents-00000.safetensors");

  test.each([
    [
      "that does not exist",
      () => rmSync(out(), { recursive: true }),
      /expected a folder of latents with an index\.json/,
    ],
    [
      "of another command",
      () => {
        rmSync(join(out(), "index.json"));
        writeFileSync(join(out(), "config.json"), '{"command": "train"}');
      },
      /expected a folder of latents with an index\.json/,
    ],
    [
      "that is not complete",
      () => rmSync(join(out(), "index.json")),
      /not complete; repeat the command "tinyfusion encode"/,
    ],
    ["whose index is no JSON", () => writeFileSync(join(out(), "index.json"), "{"), /expected JSON/],
    ["whose index is something else", () => writeFileSync(join(out(), "index.json"), "null"), /found kind undefined/],
    ["of a later version", () => change((i) => ({ ...i, version: 2 })), /version 1, found kind "latents", version 2/],
    ["without a shape", () => change((i) => ({ ...i, shape: [4, 0, 4] })), /damaged: shape is \[4,0,4\]/],
    ["without a scale", () => change((i) => ({ ...i, scale: "1" })), /damaged: scale is "1"/],
    ["of another precision", () => change((i) => ({ ...i, dtype: "int8" })), /damaged: dtype is "int8"/],
    [
      "whose index leads elsewhere",
      () => change((i) => ({ ...i, shards: [{ ...i.shards[0], file: "../x.safetensors" }] })),
      /damaged: shards is/,
    ],
    ["whose index counts wrong", () => change((i) => ({ ...i, count: 21 })), /counts 21 images, its shards have 20/],
    [
      "without a shard",
      () => rmSync(first()),
      /latents-00000\.safetensors: missing; repeat the command "tinyfusion encode"/,
    ],
    [
      "with a shard cut off",
      () => truncateSync(first(), 2000),
      /latents-00000\.safetensors: 2000 bytes, not \d+ as index/,
    ],
    [
      "with too few rows",
      () => change((i) => ({ ...i, shards: rowsOf(i, [9, 7, 4]) })),
      /expected a tensor mean of float32 \[9,4,4,4\], found float32 \[8,4,4,4\]/,
    ],
    [
      "without a tensor",
      () => changeShard((t) => t.delete("std")),
      /expected a tensor std of float32 \[8,4,4,4\], found none/,
    ],
    [
      "with a label that is no class",
      () => changeShard((t) => t.set("labels", new NDArray("int32", [8], new Int32Array(8).fill(2)))),
      /label 2 is outside the classes 0 to 1/,
    ],
  ])("%s", async (_name, damage, message) => {
    await encodeTiny(folder);
    damage();
    await expect(openLatents(out())).rejects.toThrow(InputError);
    await expect(openLatents(out())).rejects.toThrow(message);
  });

  test("whose bytes have changed, if it is verified", async () => {
    await encodeTiny(folder);
    await (await openLatents(out(), { verify: true })).release();
    const path = join(out(), "latents-00002.safetensors");
    const bytes = readFileSync(path);
    bytes[bytes.length - 100]! ^= 1;
    writeFileSync(path, bytes);
    await (await openLatents(out())).release();
    await expect(openLatents(out(), { verify: true })).rejects.toThrow(InputError);
    await expect(openLatents(out(), { verify: true })).rejects.toThrow(
      /latents-00002.*SHA-256 is not the one in index\.json/,
    );
  });
});

const rowsOf = (index: AnyIndex, rows: readonly number[]) =>
  rows.map((count, shard) => ({ ...index.shards[shard], rows: count }));
