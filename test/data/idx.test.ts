import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { uniforms } from "../../src/array/random.ts";
import { decodeIdx } from "../../src/data/idx.ts";

const plain = Uint8Array.from([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6]);

function changed(at: number, value: number): Uint8Array {
  const copy = plain.slice();
  copy[at] = value;
  return copy;
}

describe("IDX files", () => {
  test.each([
    ["plain", plain],
    ["gzipped", gzipSync(plain)],
    ["a subarray", new Uint8Array([9, ...plain, 9]).subarray(1, -1)],
  ])("are read when %s", (_name, bytes) => {
    const array = decodeIdx(bytes);
    expect(array.shape).toEqual([2, 3]);
    expect([...array.data]).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test.each([
    ["is empty", new Uint8Array(0), /found 0 bytes/],
    ["has another magic number", changed(0, 1), /starts with 01 00 08 02/],
    ["holds floats", changed(2, 0x0d), /unsigned bytes/],
    ["has rank 0", changed(3, 0), /a rank/],
    ["ends within its header", plain.subarray(0, 9), /header of 12 bytes/],
    ["ends within its elements", plain.subarray(0, 17), /needs 18 bytes.*found 17/],
    ["goes on after its elements", new Uint8Array([...plain, 0]), /found more/],
    ["has a dimension of 0", changed(7, 0), /its header says \[0,3\]/],
    ["claims 2^63 elements", Uint8Array.from([0, 0, 8, 2, ...new Array<number>(8).fill(255)]), /elements/],
    ["is a cut gzip", gzipSync(plain).subarray(0, 20), /file\.idx/],
    ["is a gzip of something else", gzipSync("hello"), /starts with/],
    ["is a damaged gzip", Uint8Array.from([0x1f, 0x8b, 1, 2, 3]), /gzip/],
  ])("a file that %s gets one clear error", (_name, bytes, message) => {
    expect(() => decodeIdx(bytes, "file.idx")).toThrow(InputError);
    expect(() => decodeIdx(bytes, "file.idx")).toThrow(message);
    expect(() => decodeIdx(bytes, "file.idx")).toThrow(/^file\.idx: /);
  });

  test("a gzip bomb is refused at the declared size", () => {
    const bomb = gzipSync(Buffer.concat([plain, Buffer.alloc(50_000_000)]));
    expect(() => decodeIdx(bomb)).toThrow(/expected a gzip of 18 bytes/);
  });

  test("no mutation gives anything but an array or an InputError", () => {
    for (let index = 0; index < 2000; index++) {
      const draw = uniforms({ seed: 1, purpose: "idx fuzz", step: 0, index }, 6);
      const bytes = (index % 2 ? plain : new Uint8Array(gzipSync(plain))).slice();
      for (let i = 0; i < 4; i += 2) bytes[Math.floor(draw[i]! * bytes.length)] = Math.floor(draw[i + 1]! * 256);
      try {
        decodeIdx(draw[4]! < 0.2 ? bytes.subarray(0, draw[5]! * bytes.length) : bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(InputError);
      }
    }
  });
});
