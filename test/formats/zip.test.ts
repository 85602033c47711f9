import { zipSync } from "fflate";
import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { type ByteSource, bytesInMemory } from "../../src/formats/weight-file.ts";
import { crc32 } from "../../src/formats/zip/crc32.ts";
import { readZipDirectory } from "../../src/formats/zip/zip-directory.ts";
import { dataOffset, readEntry, readEntryStart } from "../../src/formats/zip/zip-entry.ts";
import { type ZipContent, ZipWriter } from "../../src/formats/zip/zip-writer.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);
type Content = ZipContent & { readonly chunks: readonly Uint8Array[] };
const content = (name: string, bytes: Uint8Array): Content => ({
  name,
  byteLength: bytes.length,
  crc32: crc32(bytes),
  chunks: [bytes],
});

function written(...contents: Content[]): Uint8Array {
  const zip = new ZipWriter();
  const chunks = contents.flatMap((one) => [zip.header(one), ...one.chunks]);
  return new Uint8Array(Buffer.concat([...chunks, zip.end()]));
}

/** Zip writers of others: fflate deflates, and stores where it is told to. */
const deflatedZip = (files: Record<string, Uint8Array>) => zipSync(files, { level: 6 });

const open = (bytes: Uint8Array) => readZipDirectory(bytesInMemory(bytes, "some.zip"));
async function contentsOf(bytes: Uint8Array): Promise<Map<string, string>> {
  const directory = await open(bytes);
  const contents = new Map<string, string>();
  for (const entry of directory.entries.values()) {
    contents.set(entry.name, Buffer.from(await readEntry(directory, entry)).toString("latin1"));
  }
  return contents;
}

/** A copy with some bytes replaced; a negative position counts from the end. */
function patched(bytes: Uint8Array, at: number, values: readonly number[]): Uint8Array {
  const copy = bytes.slice();
  copy.set(values, at < 0 ? bytes.length + at : at);
  return copy;
}

const refusal = async (bytes: Uint8Array): Promise<string> => {
  const error = await contentsOf(bytes).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InputError);
  expect((error as Error).message).toMatch(/^some\.zip: /);
  return (error as Error).message;
};

const two = () => written(content("a", utf8("first")), content("b/c", utf8("second")));
const directoryOf = (bytes: Uint8Array) => Buffer.from(bytes).indexOf("PK\x01\x02", "latin1");

describe("CRC-32", () => {
  test("is that of the standard's example, in one go and in pieces", () => {
    expect(crc32(utf8("123456789"))).toBe(0xcbf43926);
    expect(crc32(new Uint8Array(0))).toBe(0);
    const bytes = Uint8Array.from({ length: 1000 }, (_, k) => 37 * k);
    for (const cut of [0, 1, 7, 8, 9, 500, 1000]) {
      expect(crc32(bytes.subarray(cut), crc32(bytes.subarray(0, cut)))).toBe(crc32(bytes));
    }
  });
});

describe("zip files", () => {
  test("what is written is read, and starts at multiples of 64", async () => {
    const long = Uint8Array.from({ length: 1000 }, (_, k) => k);
    const bytes = written(content("data.pkl", utf8("x")), content("ü/0", long), content("empty", new Uint8Array(0)));
    const directory = await open(bytes);
    for (const entry of directory.entries.values()) expect((await dataOffset(directory, entry)) % 64).toBe(0);
    expect([...(await contentsOf(bytes))]).toEqual([
      ["data.pkl", "x"],
      ["ü/0", Buffer.from(long).toString("latin1")],
      ["empty", ""],
    ]);
    expect(await contentsOf(written())).toEqual(new Map());
  });

  test("entries deflated by others are inflated, whole or the beginning", async () => {
    const long = utf8("layer ".repeat(100_000));
    const bytes = deflatedZip({ "a.npy": long, "folder/b": utf8("short") });
    expect(bytes.length).toBeLessThan(10_000);
    expect([...(await contentsOf(bytes)).values()]).toEqual([Buffer.from(long).toString(), "short"]);
    const directory = await open(bytes);
    const start = await readEntryStart(directory, directory.entries.get("a.npy")!, 100);
    expect(start.length).toBeGreaterThanOrEqual(100);
    expect(Buffer.from(long.subarray(0, start.length)).equals(start)).toBe(true);
  });

  test("a comment after the directory is no obstacle, even one that looks like an end record", async () => {
    const comment = utf8("PK\x05\x06 and nothing more, or so it seems at first");
    const bytes = patched(two(), -2, [comment.length, 0]);
    expect((await contentsOf(new Uint8Array(Buffer.concat([bytes, comment])))).get("a")).toBe("first");
  });
});

describe("zip64", () => {
  /** A source over chunks that may share their memory. */
  function virtual(chunks: readonly Uint8Array[]): ByteSource {
    const ends: number[] = [];
    for (const chunk of chunks) ends.push((ends.at(-1) ?? 0) + chunk.length);
    return {
      name: "large.zip",
      size: ends.at(-1)!,
      read: async (offset, length) => {
        const result = new Uint8Array(length);
        for (let k = ends.findIndex((end) => end > offset), done = 0; done < length; k++) {
          const start = offset + done - (ends[k]! - chunks[k]!.length);
          const piece = chunks[k]!.subarray(start, start + length - done);
          result.set(piece, done);
          done += piece.length;
        }
        return result;
      },
    };
  }

  test("entries over 4 GiB, and entries that start behind them", async () => {
    const piece = new Uint8Array(2 ** 26).fill(7);
    const huge = { name: "huge", byteLength: 65 * piece.length, crc32: 0, chunks: Array(65).fill(piece) };
    const zip = new ZipWriter();
    const after = content("after", utf8("the end"));
    const chunks = [zip.header(huge), ...huge.chunks, zip.header(after), ...after.chunks, zip.end()];
    const directory = await readZipDirectory(virtual(chunks));
    const [first, second] = [...directory.entries.values()];
    expect(first).toMatchObject({ name: "huge", byteLength: 65 * 2 ** 26, headerOffset: 0 });
    expect(second!.headerOffset).toBeGreaterThan(2 ** 32);
    expect(await dataOffset(directory, first!)).toBe(64);
    expect(Buffer.from(await readEntry(directory, second!)).toString()).toBe("the end");
    await expect(readEntry(directory, first!)).rejects.toThrow(/"huge": it claims 4362076160 bytes, the limit is/);
  });

  test("more than 65,535 entries", async () => {
    const contents = Array.from({ length: 66_000 }, (_, k) => content(`data/${k}`, new Uint8Array(0)));
    const directory = await open(written(...contents));
    expect(directory.entries.size).toBe(66_000);
    expect([...directory.entries.keys()].at(-1)).toBe("data/65999");
  });
});

describe("damaged and hostile zip files are refused", () => {
  test("cut off anywhere", async () => {
    const bytes = two();
    for (let length = 0; length < bytes.length; length++) await refusal(bytes.subarray(0, length));
    expect(await refusal(bytes.subarray(0, 100))).toContain("is it cut off?");
  });

  test("the same name twice", async () => {
    expect(await refusal(written(content("a", utf8("1")), content("a", utf8("2"))))).toContain('names "a" twice');
  });

  test("entries that share bytes", async () => {
    const bytes = two();
    const second = directoryOf(bytes) + 46 + 1; // the second entry of the directory
    expect(await refusal(patched(bytes, second + 42, [0, 0, 0, 0]))).toContain('"a" and "b/c" overlap');
    const first = directoryOf(bytes);
    const longer = patched(patched(bytes, first + 20, [60, 0, 0, 0]), first + 24, [60, 0, 0, 0]);
    expect(await refusal(longer)).toMatch(/"a" and "b\/c" overlap|disagree about its size/);
  });

  test("entries beyond the file", async () => {
    const bytes = two();
    const at = directoryOf(bytes);
    const long = patched(patched(bytes, at + 20, [0, 0, 0, 0x40]), at + 24, [0, 0, 0, 0x40]);
    expect(await refusal(long)).toMatch(/zip entry "a" claims bytes to 1073741854, the entries end at/);
    expect(await refusal(patched(bytes, at + 42, [0, 0, 0, 0x40]))).toMatch(/zip entry "a" claims bytes to/);
  });

  test("a directory of more entries than its bytes can hold", async () => {
    expect(await refusal(patched(two(), -14, [0xff, 0x7f, 0xff, 0x7f]))).toMatch(/claims 32767 entries in \d+ bytes/);
  });

  test("a local header that says something else", async () => {
    const bytes = two();
    expect(await refusal(patched(bytes, 30, [0x7a]))).toContain("expected its header at byte 0, found another");
    expect(await refusal(patched(bytes, 8, [8]))).toContain("expected its header at byte 0, found another");
    expect(await refusal(patched(bytes, 18, [6]))).toContain("disagree about its size");
    expect(await refusal(patched(bytes, 28, [0, 1]))).toContain("reach into the next entry");
  });

  test("a part of a split file, an encrypted entry, an unknown packing", async () => {
    const bytes = two();
    expect(await refusal(patched(bytes, -18, [1, 0]))).toContain("split");
    expect(await refusal(patched(bytes, directoryOf(bytes) + 8, [1]))).toContain("encrypted");
    const lzma = patched(patched(bytes, 8, [14]), directoryOf(bytes) + 10, [14]);
    expect(await refusal(lzma)).toContain('zip entry "a": expected it stored or deflated, found packing method 14');
  });

  test("content that its checksum does not fit, unless there is none", async () => {
    const bytes = two();
    const at = Buffer.from(bytes).indexOf("first");
    expect(await refusal(patched(bytes, at, [0x46]))).toContain('zip entry "a": its checksum does not fit');
    const without = patched(patched(bytes, at, [0x46]), directoryOf(bytes) + 16, [0, 0, 0, 0]);
    expect((await contentsOf(without)).get("a")).toBe("First");
  });

  test("deflated entries that unpack to more or less than they claim, or to no end", async () => {
    const bytes = deflatedZip({ a: utf8("layer ".repeat(100)) });
    const claim = async (size: number) => {
      const sizes = [size & 0xff, (size >>> 8) & 0xff, (size >>> 16) & 0xff, size >>> 24];
      return refusal(patched(patched(bytes, 22, sizes), directoryOf(bytes) + 24, sizes));
    };
    expect(await claim(599)).toContain("claims to unpack to 599 bytes, found more");
    expect(await claim(601)).toContain("claims to unpack to 601 bytes, found 600");
    expect(await claim(2_000_000_000)).toMatch(/\d+ bytes cannot unpack to the 2000000000 it claims/);
    const name = 30 + 1;
    expect(await refusal(patched(bytes, name, [0xff, 0xff, 0xff]))).toContain("cannot be unpacked");
  });

  test("a zip64 record that contradicts the classic one", async () => {
    const contents = Array.from({ length: 66_000 }, (_, k) => content(`${k}`, new Uint8Array(0)));
    const bytes = written(...contents);
    expect(await refusal(patched(bytes, -14, [3, 0, 3, 0]))).toContain("disagree");
    expect(await refusal(patched(bytes, -22 - 20 + 8, [0, 0, 0, 0]))).toContain(
      "expected a zip64 end record at byte 0",
    );
  });
});
