import { describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { locationText, parseLocation } from "../../../src/storage/download/location.ts";

describe("a location", () => {
  test.each<[string, object]>([
    ["hf:facebook/DiT-XL-2-256", { kind: "hub", repository: "facebook/DiT-XL-2-256", revision: "main" }],
    ["hf://a/b", { kind: "hub", repository: "a/b", revision: "main" }],
    ["hf:a/b@v1.0", { kind: "hub", repository: "a/b", revision: "v1.0" }],
    ["hf:a/b/x.pt", { kind: "hub", repository: "a/b", revision: "main", file: "x.pt" }],
    ["hf:a/b@refs%2Fpr%2F1/vae/", { kind: "hub", repository: "a/b", revision: "refs/pr/1", file: "vae" }],
    ["hf:a/b/in/a@b.pt", { kind: "hub", repository: "a/b", revision: "main", file: "in/a@b.pt" }],
    ["https://host/x%20y.pt?a=1#part", { kind: "web", url: "https://host/x%20y.pt?a=1" }],
    ["HTTP://LocalHost:80/x", { kind: "web", url: "http://localhost/x" }],
    ["model.pt", { kind: "path", path: "model.pt" }],
    ["a/b", { kind: "path", path: "a/b" }],
    ["C:\\weights\\a.pt", { kind: "path", path: "C:\\weights\\a.pt" }],
    ["https", { kind: "path", path: "https" }],
  ])("%s", (text, expected) => {
    expect(parseLocation(text)).toEqual(expected);
  });

  test.each<[string, RegExp]>([
    ["hf:", /expected hf:owner\/name\[@revision\]\[\/file\], for example/],
    ["hf:gpt2", /expected hf:owner\/name/],
    ["hf:a/..", /expected hf:owner\/name/],
    ["hf:a--b/c", /expected hf:owner\/name/],
    ["hf:a b/c", /expected hf:owner\/name/],
    ["hf:a/b@", /expected a branch, tag or commit after @/],
    ["hf:a/b@%zz", /the revision has a % that is not followed/],
    ["hf:a/b/../../c", /expected a file inside the repository, found \.\.\/\.\.\/c/],
    ["hf:a/b//etc/passwd", /inside the repository/],
    ["hf:a/b/c\\d", /inside the repository/],
    ["hf:a/b/C:d", /inside the repository/],
    ["https://", /expected an address like https/],
    ["https://me:word@host/x", /^https:\/\/host\/x: an address must not hold a user name or password/],
    ["s3://bucket/x", /cannot read from s3: addresses; expected hf:/],
    ["ftp://host/x", /cannot read from ftp: addresses/],
  ])("%s is refused", (text, message) => {
    expect(() => parseLocation(text)).toThrow(InputError);
    expect(() => parseLocation(text)).toThrow(message);
  });

  test("in a message shows no query, which may be a secret", () => {
    const text = (location: string) => {
      const parsed = parseLocation(location);
      return parsed.kind === "path" ? undefined : locationText(parsed);
    };
    expect(text("https://host/x.pt?token=1")).toBe("https://host/x.pt");
    expect(text("hf:a/b/x.pt")).toBe("hf:a/b@main/x.pt");
  });
});
