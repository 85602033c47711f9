import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { fileError } from "../../src/storage/file-error.ts";

const refused = (code: string) => Object.assign(new Error(`${code}: as Node says it`), { code });

describe("what a file system refuses, as a sentence", () => {
  test.each(["read", "open", "list", "look at"])("to %s: another folder is no remedy", (operation) => {
    for (const code of ["EACCES", "EPERM"]) {
      const error = fileError(operation, "images/a.png", refused(code)) as Error;
      expect(error).toBeInstanceOf(InputError);
      expect(error.message).toMatch(
        /^cannot (read|open|list|look at) images\/a\.png: .*; change its permissions, or those of its folders/,
      );
      expect(error.message).not.toContain("choose another folder");
    }
  });

  test.each(["write 12 bytes to", "make folder", "lock", "write into"])("to %s: another folder is one", (operation) => {
    const { message } = fileError(operation, "out", refused("EACCES")) as Error;
    expect(message).toBe(
      `cannot ${operation} out: permission denied; choose another folder or change its permissions (EACCES)`,
    );
  });

  test("what has no code of a file system, or is a sentence already, stays as it is", () => {
    for (const error of [new Error("a defect"), new InputError("a sentence"), undefined]) {
      expect(fileError("read", "x", error)).toBe(error);
    }
  });
});
