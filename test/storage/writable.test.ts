import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { requireWritableFile, requireWritableFolder } from "../../src/storage/atomic-write.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "writable-"));
  writeFileSync(join(folder, "file"), "kept");
  mkdirSync(join(folder, "there"));
  symlinkSync(join(folder, "nowhere"), join(folder, "dangling"));
  symlinkSync(join(folder, "there"), join(folder, "link"));
});
afterEach(() => rmSync(folder, { recursive: true }));
const at = (...parts: string[]): string => join(folder, ...parts);

describe("a folder for results", () => {
  test.each(["there", "link", "new", "new/in/new", "there/new", "."])("may be %s, and nothing is made", (name) => {
    const before = readdirSync(folder, { recursive: true });
    requireWritableFolder(at(name));
    expect(readdirSync(folder, { recursive: true })).toEqual(before);
  });

  test.each([
    ["file", /cannot write into .*file: expected a folder or a new name, found a file; choose another/],
    ["dangling", /found a link to nothing/],
    ["dangling/new", /found a link to nothing/],
    ["file/new", /file\/new: a part of this path is a file, not a folder/],
    ["n".repeat(300), /the name is too long/],
  ])("is not %s", (name, message) => {
    expect(() => requireWritableFolder(at(name))).toThrow(InputError);
    expect(() => requireWritableFolder(at(name))).toThrow(message);
  });

  test("is not a device, nor a new name where the system takes none", () => {
    expect(() => requireWritableFolder("/dev/full")).toThrow(/found a device or pipe/);
    expect(() => requireWritableFolder("/dev/full/x")).toThrow(/is a file, not a folder/);
    expect(() => requireWritableFolder("/proc/x")).toThrow(/cannot make folder \/proc\/x in \/proc: permission denied/);
  });
});

describe("a file for results", () => {
  test.each(["file", "new", "new/in/new.png", "there/new", "link/new"])("may be %s", (name) => {
    const before = readdirSync(folder, { recursive: true });
    requireWritableFile(at(name));
    expect(readdirSync(folder, { recursive: true })).toEqual(before);
  });

  test.each([
    ["there", /expected a file or a new name, found a folder; choose another name/],
    ["file/new.png", /a part of this path is a file/],
    ["dangling", /found a link to nothing/],
    ["dangling/new.png", /found a link to nothing/],
  ])("is not %s", (name, message) => {
    expect(() => requireWritableFile(at(name))).toThrow(message);
  });

  test("is not a device, nor a file in /proc", () => {
    expect(() => requireWritableFile("/dev/full")).toThrow(/found a device or pipe/);
    expect(() => requireWritableFile("/proc/x.png")).toThrow(/permission denied/);
  });
});
