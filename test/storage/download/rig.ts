/** What tests of single downloads share: a server, a cache, and what may and may not be in it afterwards. */

import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { localPath } from "../../../src/storage/download/local-path.ts";
import type { DownloadOptions } from "../../../src/storage/download/settings.ts";
import { type Serving, serve as serveFile, someBytes, startServer, type TestServer } from "./server.ts";

export const bytes = someBytes(300_000);
export const sha256 = createHash("sha256").update(bytes).digest("hex");
export const etag = '"one"';

export let server: TestServer;
export let cache = "";
export let notices: string[] = [];
export let waits: number[] = [];

/** Gives each test of a file a server, and an empty cache. */
export function useServer(): void {
  beforeAll(async () => {
    server = await startServer();
  });
  afterAll(() => server.close());
  beforeEach(() => {
    cache = mkdtempSync(join(tmpdir(), "tinyfusion-"));
    server.requests.length = 0;
    [notices, waits] = [[], []];
  });
  afterEach(() => rmSync(cache, { recursive: true }));
}

export const options = (more: Partial<DownloadOptions> = {}): DownloadOptions => ({
  cache,
  hubCache: join(cache, "hub"),
  endpoint: "http://localhost:1",
  offline: false,
  notice: (message) => notices.push(message),
  pause: async (ms) => {
    waits.push(ms);
  },
  ...more,
});
export const fetchIt = (more: Partial<DownloadOptions> = {}, path = "model.pt") =>
  localPath(`${server.origin}/${path}`, options(more));

/** All files in the cache, without folders and without locks. */
export const filesInCache = () =>
  readdirSync(cache, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .sort();

/** Whether the partial file has that many bytes. */
export const arrived = (length: number) => {
  const entries = readdirSync(cache, { recursive: true, withFileTypes: true });
  const partial = entries.find(({ name }) => /\.(partial|incomplete)$/.test(name));
  return partial !== undefined && statSync(join(partial.parentPath, partial.name)).size >= length;
};
export const serve = (request: IncomingMessage, response: ServerResponse, body: Buffer, serving: Serving = {}) =>
  serveFile(request, response, body, { arrived, ...serving });

/** What happened must be a refusal in one sentence, and no file of that name in the cache. */
export async function refused(trying: Promise<string>, message: RegExp): Promise<string> {
  const error = await trying.then(
    () => new Error("it was downloaded"),
    (thrown: unknown) => thrown as Error,
  );
  expect(error.message).toMatch(message);
  expect(error).toBeInstanceOf(InputError);
  expect(filesInCache().filter((name) => /^(model\.pt|file)$/.test(name) || name.startsWith("lock-"))).toEqual([]);
  return error.message;
}

export async function arrives(trying: Promise<string>, expected: Buffer = bytes): Promise<string> {
  const path = await trying;
  expect(readFileSync(path).equals(expected)).toBe(true);
  expect(filesInCache()).toEqual([basename(path), `${basename(path)}.json`]);
  return path;
}

/** Bytes asked for, request by request. */
export const ranges = () => server.requests.map(({ headers }) => headers.range ?? "all");
