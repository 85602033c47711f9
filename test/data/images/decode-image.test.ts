import { readFileSync } from "node:fs";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import type { NDArray } from "../../../src/array/ndarray.ts";
import { decodeImage } from "../../../src/data/images/decode-image.ts";
import { decodeSafetensors } from "../../../src/formats/safetensors.ts";

// Made by Pillow: scripts/decode-fixture.py and plain-formats-fixture.py.
const stored = (name: string) => decodeSafetensors(readFileSync(join(import.meta.dirname, name))).tensors;
const fixtures = ["decode.safetensors", "plain-formats.safetensors"].flatMap((name) => [...stored(name)]);
const tensors = new Map(fixtures) as Map<string, NDArray<"uint8">>;
const names = [...tensors.keys()].flatMap((name) => /^file (.*)$/.exec(name)?.[1] ?? []);
const readable = names.filter((name) => tensors.has(`rgb ${name}`));
const damaged = names.filter((name) => !tensors.has(`rgb ${name}`));

describe("the RGB that Pillow reads", () => {
  test("the fixture has files of all kinds", () => {
    expect(readable.length).toBeGreaterThanOrEqual(60);
    expect(damaged.length).toBeGreaterThanOrEqual(12);
  });

  test.each(readable)("%s", async (name) => {
    const ours = await decodeImage(tensors.get(`file ${name}`)!.data);
    const theirs = tensors.get(`rgb ${name}`)!;
    expect(ours.shape).toEqual(theirs.shape);
    expect(Buffer.compare(ours.data, theirs.data)).toBe(0);
  });
});

describe("files that are no images", () => {
  test.each(damaged)("%s is refused in one sentence", async (name) => {
    const decoding = decodeImage(tensors.get(`file ${name}`)!.data);
    await expect(decoding).rejects.toThrow(InputError);
    await expect(decoding).rejects.toThrow(/^damaged (JPEG|PNG|WebP|GIF|TIFF|BMP|P[BGP]M) image \([^\n]+\)$/);
  });

  test.each([
    ["nothing", "", /found an empty file/],
    [
      "text",
      "hello",
      /expected a JPEG, PNG, WebP, GIF, TIFF, AVIF, BMP, PBM, PGM or PPM image, found a file that starts with 68 65 6c 6c$/,
    ],
    ["a short beginning", "\xff\xd8", /starts with ff d8$/],
    ["SVG", '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', /starts with 3c 73 76 67/],
    ["a short BMP", "BM6000", /^damaged BMP image \(expected a header, found 6 bytes\)$/],
    ["a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid", /found a Git LFS pointer.*git lfs pull/],
    ["a web page", "<!DOCTYPE html><html>", /expected an image, found a web page/],
    [
      "PPM of letters",
      "P6\nten 10\n255\n",
      /^damaged PPM image \(expected a number, the width, found byte 116 at 3\)$/,
    ],
    ["PGM of too large a maximum", "P5 1 1 65536 ab", /^damaged PGM image \(1 × 1 pixels of 0 to 65536\)$/],
    ["PPM of a value above its maximum", "P3 1 1 9 1 2 10", /^damaged PPM image \(value 10 is above the maximum 9\)$/],
    ["PPM that claims a huge image", "P6 99999 99999 255 a", /expected at most 178956970 pixels, found 99999 × 99999/],
    [
      "PGM in text that claims more than it holds",
      "P2 9999 9999 255 1 2 3",
      /expected 199960002 numbers, found 6 bytes/,
    ],
    ["another RIFF", "RIFF\0\0\0\0WAVE", /starts with 52 49 46 46/],
  ])("%s", async (_name, text, message) => {
    const decoding = decodeImage(Uint8Array.from(text, (letter) => letter.charCodeAt(0)));
    await expect(decoding).rejects.toThrow(InputError);
    await expect(decoding).rejects.toThrow(message);
  });

  test("a small file that claims a huge image", async () => {
    const decoding = decodeImage(png(20_000, 20_000));
    await expect(decoding).rejects.toThrow(InputError);
    await expect(decoding).rejects.toThrow("expected at most 178956970 pixels, found 20000 × 20000");
  });
});

/** A PNG of one bit for each pixel that ends early. */
function png(width: number, height: number): Uint8Array {
  const chunk = (kind: string, data: Buffer) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    return Buffer.concat([length, Buffer.from(kind), data, Buffer.alloc(4)]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 1;
  const start = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
  return Buffer.concat([start, chunk("IHDR", header), chunk("IDAT", deflateSync(Buffer.alloc(9)))]);
}
