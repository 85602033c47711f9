import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { exists, isFolder, listFolder, openByteRanges, readBytes, readJson, readText } from "../../src/storage/read.ts";

let folder = "";
const at = (name: string) => join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tinyfusion-"));
  writeFileSync(at("digits"), "0123456789");
  writeFileSync(at("good.json"), '\uFEFF{"a": [1, 2]}');
  writeFileSync(at("bad.json"), '{"a": ');
  writeFileSync(at("latin1"), Uint8Array.of(0xe4, 0xf6));
  mkdirSync(at("folder"));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("reading", () => {
  test("whole files as bytes, text and JSON", () => {
    expect([...readBytes(at("digits"))].length).toBe(10);
    expect(readText(at("digits"))).toBe("0123456789");
    expect(readJson(at("good.json"))).toEqual({ a: [1, 2] });
  });

  test.each([
    ["a missing file", () => readBytes(at("nothing")), /cannot read .*nothing: no such file/],
    ["a folder", () => readBytes(at("folder")), /this is a folder/],
    ["text that is not UTF-8", () => readText(at("latin1")), /latin1: expected UTF-8/],
    ["damaged JSON", () => readJson(at("bad.json")), /bad\.json: expected JSON/],
    ["listing a file", () => listFolder(at("digits")), /cannot list .*digits/],
  ])("%s gives an InputError that names the path", (_name, read, message) => {
    expect(read).toThrow(InputError);
    expect(read).toThrow(message);
  });

  test("folders are listed by name with their kinds", () => {
    expect(listFolder(folder).map(({ name, kind }) => `${name}:${kind}`)).toEqual([
      "bad.json:file",
      "digits:file",
      "folder:folder",
      "good.json:file",
      "latin1:file",
    ]);
    expect(exists(at("digits"))).toBe(true);
    expect(exists(at("nothing"))).toBe(false);
  });
});

test("a link to itself is refused by name", async () => {
  symlinkSync("loop", at("loop"));
  for (const look of [isFolder, readBytes]) expect(() => look(at("loop"))).toThrow(/loop: it is a symbolic link/);
  await expect(openByteRanges(at("loop"))).rejects.toThrow(InputError);
});

// Windows keeps its pipes elsewhere.
test.runIf(process.platform !== "win32")("a pipe without a writer and a device are refused at once", async () => {
  execFileSync("mkfifo", [at("pipe")]);
  for (const path of [at("pipe"), "/dev/zero"]) {
    expect(() => readJson(path)).toThrow(/expected a regular file, found a device or pipe/);
    await expect(openByteRanges(path)).rejects.toThrow(/expected a regular file, found a device or pipe/);
  }
});

describe("byte ranges", () => {
  test("give any part of a file", async () => {
    const file = await openByteRanges(at("digits"));
    expect(file.size).toBe(10);
    const parts = await Promise.all([file.read(8, 2), file.read(0, 3), file.read(10, 0)]);
    expect(parts.map((part) => new TextDecoder().decode(part))).toEqual(["89", "012", ""]);
    await file.close();
  });

  test("refuse to read beyond the file", async () => {
    const file = await openByteRanges(at("digits"));
    await expect(file.read(8, 3)).rejects.toThrow(/digits: bytes 8 to 11 lie beyond its 10 bytes/);
    await expect(file.read(-1, 3)).rejects.toThrow(InputError);
    await expect(file.read(Number.NaN, 3)).rejects.toThrow(InputError);
    await file.close();
  });

  test("notice a file that shrinks", async () => {
    writeFileSync(at("shrinking"), "0123456789");
    const file = await openByteRanges(at("shrinking"));
    truncateSync(at("shrinking"), 4);
    await expect(file.read(2, 6)).rejects.toThrow(/shrank to 4 bytes/);
    await file.close();
    rmSync(at("shrinking"));
  });

  test("need a regular file that exists", async () => {
    await expect(openByteRanges(at("nothing"))).rejects.toThrow(InputError);
    await expect(openByteRanges(at("folder"))).rejects.toThrow(/found a folder/);
    await expect(openByteRanges("/dev/null")).rejects.toThrow(/device/);
  });
});
