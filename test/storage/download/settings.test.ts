import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { downloadSettings } from "../../../src/storage/download/settings.ts";

let home = "";
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "tinyfusion-"));
});
afterEach(() => rmSync(home, { recursive: true }));

describe("settings of downloads", () => {
  test("without anything in the environment", () => {
    expect(downloadSettings({ HOME: home })).toEqual({
      cache: join(home, ".cache", "tinyfusion"),
      hubCache: join(home, ".cache", "huggingface", "hub"),
      endpoint: "https://huggingface.co",
      offline: false,
    });
    expect(downloadSettings({ HF_HOME: home }).cache).toBe(join(homedir(), ".cache", "tinyfusion"));
  });

  test("cache, endpoint and offline mode", () => {
    const settings = downloadSettings({
      HOME: home,
      TINYFUSION_CACHE: "/data/cache",
      HF_ENDPOINT: "https://mirror/hub//",
    });
    const hubCache = join(home, ".cache", "huggingface", "hub");
    expect(settings).toEqual({ cache: "/data/cache", hubCache, endpoint: "https://mirror/hub", offline: false });
    for (const text of ["1", "true", "YES", "On"]) {
      expect(downloadSettings({ HOME: home, HF_HUB_OFFLINE: text }).offline).toBe(true);
      expect(downloadSettings({ HOME: home, TINYFUSION_OFFLINE: text }).offline).toBe(true);
    }
    for (const text of ["", "0", "false"])
      expect(downloadSettings({ HOME: home, HF_HUB_OFFLINE: text }).offline).toBe(false);
  });

  test("the cache of the hub, where huggingface_hub has it", () => {
    const hubCache = (env: Record<string, string>) => downloadSettings({ HOME: home, ...env }).hubCache;
    expect(hubCache({ XDG_CACHE_HOME: "/x" })).toBe("/x/huggingface/hub");
    expect(hubCache({ XDG_CACHE_HOME: "/x", HF_HOME: "/hf" })).toBe("/hf/hub");
    expect(hubCache({ HF_HOME: "/hf", HUGGINGFACE_HUB_CACHE: "/old" })).toBe("/old");
    expect(hubCache({ HUGGINGFACE_HUB_CACHE: "/old", HF_HUB_CACHE: "/new" })).toBe("/new");
  });

  test("the token: from HF_TOKEN, its older name, or the file that the login writes", () => {
    mkdirSync(join(home, ".cache", "huggingface"), { recursive: true });
    writeFileSync(join(home, ".cache", "huggingface", "token"), "from-home\n");
    mkdirSync(join(home, "hf"));
    writeFileSync(join(home, "hf", "token"), "from-hf-home");
    writeFileSync(join(home, "other"), "from-path");
    const env = { HOME: home };
    expect(downloadSettings(env).token).toBe("from-home");
    expect(downloadSettings({ ...env, HF_HOME: join(home, "hf") }).token).toBe("from-hf-home");
    expect(downloadSettings({ ...env, HF_TOKEN_PATH: join(home, "other") }).token).toBe("from-path");
    expect(downloadSettings({ ...env, HUGGING_FACE_HUB_TOKEN: "older" }).token).toBe("older");
    expect(downloadSettings({ ...env, HUGGING_FACE_HUB_TOKEN: "older", HF_TOKEN: " newer\n" }).token).toBe("newer");
  });

  test("a token that cannot be one is refused without showing it", () => {
    const reading = () => downloadSettings({ HOME: home, HF_TOKEN: "two words" });
    expect(reading).toThrow(InputError);
    expect(reading).toThrow(/^the hub's token must be one word/);
    expect(reading).not.toThrow(/two words/);
  });

  test("an endpoint that is no address is refused", () => {
    for (const endpoint of ["mirror.example", "ftp://mirror", "https://"]) {
      expect(() => downloadSettings({ HOME: home, HF_ENDPOINT: endpoint })).toThrow(/endpoint must be an address like/);
    }
  });
});
