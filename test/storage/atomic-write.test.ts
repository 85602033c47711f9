import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import {
  publishDirectory,
  remove,
  removeTemporaries,
  temporaryFolder,
  writeAtomically,
} from "../../src/storage/atomic-write.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tinyfusion-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("writing atomically", () => {
  test.each([
    ["text", "häßlich", "häßlich"],
    ["bytes", Uint8Array.of(104, 105), "hi"],
    ["nothing", new Uint8Array(0), ""],
    ["no chunks", [], ""],
    ["empty text", "", ""],
    ["chunks", [Uint8Array.of(104), Uint8Array.of(105)], "hi"],
    ["asynchronous chunks", asynchronous([Uint8Array.of(104), Uint8Array.of(105)]), "hi"],
  ])("writes %s and makes missing folders", async (_name, content, expected) => {
    const path = join(folder, "a", "b", "file");
    await writeAtomically(path, content);
    expect(readFileSync(path, "utf8")).toBe(expected);
    expect(readdirSync(join(folder, "a", "b"))).toEqual(["file"]);
  });

  test("a producer that fails leaves the old file and no litter", async () => {
    const path = join(folder, "file");
    writeFileSync(path, "old");
    function* failing(): Generator<Uint8Array> {
      yield Uint8Array.of(1, 2, 3);
      throw new TypeError("bug");
    }
    await expect(writeAtomically(path, failing())).rejects.toThrow(TypeError);
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(readdirSync(folder)).toEqual(["file"]);
  });

  test("a full disk gives an InputError with path, bytes and remedy, and no litter", async () => {
    const path = join(folder, "file");
    function* full(): Generator<Uint8Array> {
      yield new Uint8Array(1000);
      throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    }
    const writing = writeAtomically(path, full());
    await expect(writing).rejects.toThrow(InputError);
    await expect(writing).rejects.toThrow(/after 1000 bytes.*file: the disk is full; free some space/);
    expect(readdirSync(folder)).toEqual([]);
  });

  test("a path below a file names the path and the bytes needed", async () => {
    writeFileSync(join(folder, "file"), "x");
    await expect(writeAtomically(join(folder, "file", "y"), "abc")).rejects.toThrow(InputError);
    await expect(writeAtomically(join(folder, "file", "y"), "abc")).rejects.toThrow(/make folder .*file: .*a file/);
  });

  test("devices and folders are never replaced", async () => {
    await expect(writeAtomically("/dev/null", "x")).rejects.toThrow(/regular file/);
    await expect(writeAtomically(folder, "x")).rejects.toThrow(/regular file/);
  });

  test("a symbolic link stays a link and its target is written", async () => {
    writeFileSync(join(folder, "real"), "old");
    symlinkSync(join(folder, "real"), join(folder, "link"));
    await writeAtomically(join(folder, "link"), "new");
    expect(readFileSync(join(folder, "real"), "utf8")).toBe("new");
    expect(readdirSync(folder, { withFileTypes: true }).find((entry) => entry.isSymbolicLink())?.name).toBe("link");
  });

  test("concurrent writers leave one whole file", async () => {
    const path = join(folder, "file");
    const texts = Array.from({ length: 8 }, (_, i) => String(i).repeat(100_000));
    await Promise.all(texts.map((text) => writeAtomically(path, text)));
    expect(texts).toContain(readFileSync(path, "utf8"));
    expect(readdirSync(folder)).toEqual(["file"]);
  });
});

describe("publishing a folder", () => {
  test("makes all its files visible at once", async () => {
    const temporary = temporaryFolder(join(folder, "step-1"));
    await writeAtomically(join(temporary, "weights"), "w");
    await publishDirectory(temporary, join(folder, "step-1"));
    expect(readdirSync(folder)).toEqual(["step-1"]);
    expect(readdirSync(join(folder, "step-1"))).toEqual(["weights"]);
  });

  test("refuses to replace one that exists", async () => {
    await writeAtomically(join(folder, "step-1", "weights"), "old");
    const temporary = temporaryFolder(join(folder, "step-1"));
    await writeAtomically(join(temporary, "weights"), "new");
    await expect(publishDirectory(temporary, join(folder, "step-1"))).rejects.toThrow(InputError);
    expect(readFileSync(join(folder, "step-1", "weights"), "utf8")).toBe("old");
  });

  test("what interrupted writes left behind can be removed, and nothing else", async () => {
    await writeAtomically(join(folder, "keep"), "x");
    await writeAtomically(join(temporaryFolder(join(folder, "step-1")), "weights"), "x");
    removeTemporaries(folder);
    expect(readdirSync(folder)).toEqual(["keep"]);
    remove(join(folder, "keep"));
    remove(join(folder, "keep"));
    expect(readdirSync(folder)).toEqual([]);
  });
});

async function* asynchronous(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}
