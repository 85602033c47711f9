import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import {
  arrives,
  bytes,
  cache,
  etag,
  fetchIt,
  filesInCache,
  notices,
  ranges,
  refused,
  serve,
  server,
  sha256,
  useServer,
  waits,
} from "./rig.ts";
import { type Handler, someBytes, startServer } from "./server.ts";

useServer();

const linked =
  (headers: Record<string, string>): Handler =>
  (request, response) =>
    serve(request, response, bytes, { etag, headers });

describe("a server that lies", () => {
  test.each<[string, Handler, RegExp]>([
    ["announces more than it sends", linked({ "content-length": "300001" }), /after 300000 of 300001 bytes/],
    [
      "announces less than the file has",
      linked({ "content-length": "299999", "x-linked-size": "300000" }),
      /the file has 300000 bytes, the server announces 299999, twice/,
    ],
    [
      "ends before the length it knows",
      (_, response) => response.writeHead(200, { "x-linked-size": "300001" }).write(bytes, () => response.end()),
      /the connection was closed after 300000 of 300001 bytes/,
    ],
    [
      "goes on beyond the length it knows",
      (_, response) => response.writeHead(200, { "x-linked-size": "299999" }).write(bytes, () => response.end()),
      /the file has 299999 bytes, the server sends more, twice/,
    ],
    [
      "knows another checksum than the bytes have",
      linked({ "x-linked-etag": `"${"0".repeat(64)}"` }),
      /expected checksum sha256:0{64}, the bytes have sha256:\w{64}, twice/,
    ],
    [
      "sends a part of which nobody asked",
      (_, response) => response.writeHead(206, { "content-range": "bytes 0-9/10" }).end("0123456789"),
      /from 0 on, the server sends range bytes 0-9\/10, twice/,
    ],
    [
      "sends nothing and calls it a success",
      (_, response) => response.writeHead(204).end(),
      /answers with status 204, twice/,
    ],
    [
      "sends a page instead",
      (_, response) => response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end("<p>"),
      /expected a file, found a web page/,
    ],
    [
      "ends a compressed body too early, and says so in no other way",
      (_, response) => {
        const part = gzipSync(bytes).subarray(0, -100);
        response.writeHead(200, { "content-encoding": "gzip", "content-length": part.length }).end(part);
      },
      /the connection was dropped \(Z_BUF_ERROR\) after \d+ of unknown bytes, after 3 tries/,
    ],
    [
      "compresses in a way of which nobody knows",
      (_, response) => response.writeHead(200, { "content-encoding": "zstd9" }).end(bytes),
      /cannot download .*model\.pt: the server sends it with content encoding zstd9/,
    ],
    [
      "does not say how long the file is",
      (_, response) => {
        response.shouldKeepAlive = false;
        response.removeHeader("transfer-encoding");
        response.useChunkedEncodingByDefault = false;
        response.writeHead(200).end(bytes);
      },
      /does not say how long the file is/,
    ],
  ])("%s", async (_name, handler, message) => {
    server.answer(handler);
    await refused(fetchIt({ attempts: 3, stallMs: 500 }), message);
  });

  test("once about a checksum is tried again from the start", async () => {
    const headers = { "x-linked-etag": `"${sha256}"`, "x-linked-size": "300000" };
    server.answer((request, response, hit) =>
      serve(request, response, hit === 0 ? someBytes(300_000, 9) : bytes, { etag, headers }),
    );
    const path = await arrives(fetchIt());
    expect(ranges()).toEqual(["all", "all"]);
    expect(JSON.parse(readFileSync(`${path}.json`, "utf8")).checksum).toBe(`sha256:${sha256}`);
  });
});

describe("a server that refuses", () => {
  test.each<[number, RegExp]>([
    [401, /model\.pt: the server wants a login \(401\)/],
    [403, /model\.pt: access is denied \(403\)/],
    [404, /model\.pt: there is no such file \(404\); check the address/],
    [418, /model\.pt: the server answers with status 418/],
  ])("with %i is not asked again", async (status, message) => {
    server.answer((_, response) => response.writeHead(status).end("no"));
    await refused(fetchIt(), message);
    expect(server.requests.length).toBe(1);
    expect(filesInCache()).toEqual([]);
  });

  test("for now is asked again, when it says", async () => {
    const answers: [number, string | undefined][] = [
      [429, "7"],
      [503, new Date(Date.now() + 60_000).toUTCString()],
      [500, undefined],
      [429, "nonsense"],
    ];
    server.answer((request, response, hit) => {
      const [status, retryAfter] = answers[hit] ?? [];
      if (status === undefined) serve(request, response, bytes, { etag });
      else response.writeHead(status, retryAfter === undefined ? {} : { "retry-after": retryAfter }).end();
    });
    await arrives(fetchIt());
    expect(waits.length).toBe(4);
    expect(waits[0]).toBe(7000);
    expect(waits[1]).toBeGreaterThan(50_000);
    expect(waits[1]).toBeLessThanOrEqual(60_000);
    expect(waits[2]).toBeLessThanOrEqual(2500);
    expect(notices[0]).toMatch(/too many requests \(429\); trying again in 7 s/);
  });

  test("for an hour, or again and again, ends with a message", async () => {
    server.answer((_, response) => response.writeHead(429, { "retry-after": "3600" }).end());
    await refused(fetchIt(), /too many requests \(429\), asking to wait 60 minutes/);
    expect(waits).toEqual([]);
    server.answer((_, response) => response.writeHead(500).end());
    await refused(fetchIt(), /the server has a problem \(500\), after 6 tries/);
  });
});

describe("redirects", () => {
  test("to another host are followed, also when resuming, without the token", async () => {
    const other = await startServer((request, response, hit) =>
      serve(request, response, bytes, { etag, ...(hit === 0 ? { cutAfter: 100_000 } : {}) }),
    );
    try {
      server.answer((request, response) =>
        request.url === "/model.pt"
          ? response.writeHead(307, { location: "/stored/model.pt" }).end()
          : response.writeHead(302, { location: `${other.origin}/blob?signature=1`, "x-linked-size": "300000" }).end(),
      );
      const path = await arrives(fetchIt({ endpoint: server.origin, token: "secret" }));
      expect(basename(path)).toBe("model.pt");
      expect(server.requests.map(({ headers }) => headers.authorization)).toEqual(Array(4).fill("Bearer secret"));
      expect(other.requests.map(({ line }) => line)).toEqual(Array(2).fill("GET /blob?signature=1"));
      expect(other.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined]);
      expect(other.requests[1]!.headers.range).toBe("bytes=100000-");
    } finally {
      await other.close();
    }
  });

  test("the token goes to the endpoint only", async () => {
    server.answer((request, response) => serve(request, response, bytes, { etag }));
    await arrives(fetchIt({ token: "secret" }));
    expect(server.requests[0]!.headers.authorization).toBeUndefined();
  });

  test.each<[string, Record<string, string>, RegExp]>([
    ["in a circle", { location: "/model.pt" }, /more than 10 redirects/],
    ["to nowhere", {}, /redirects \(302\) to no valid address/],
    [
      "to plain http elsewhere",
      { location: "http://example.invalid/x?signature=1" },
      /expected an https address, found http:\/\/example\.invalid\/x$/,
    ],
    ["to a file on disk", { location: "file:///etc/passwd" }, /expected an https address/],
  ])("%s are refused", async (_name, headers, message) => {
    server.answer((_, response) => response.writeHead(302, headers).end());
    await refused(fetchIt(), message);
  });
});

describe("a disk that gets full", () => {
  test("is noticed before the download where the size is known", async () => {
    const handler: Handler = (_, response) => response.writeHead(200, { "content-length": String(9e14) }).write("x");
    server.answer(handler);
    await refused(
      fetchIt(),
      /it has 900000000000000 bytes, .* has room for \d+; free some space or choose another cache/,
    );
  });

  test("in the middle gives one message and keeps what has come", async ({ skip }) => {
    const disk = join(cache, "disk");
    mkdirSync(disk);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], { stdio: "pipe" });
    } catch (error) {
      skip(true, `mounting a small disk needs root on Linux: ${(error as Error).message.split("\n")[0]}`);
    }
    try {
      // Chunks of unknown length: nobody can know beforehand that there is no room.
      const headers = { etag, "x-linked-etag": `"${sha256}"` };
      server.answer((_, response) => response.writeHead(200, headers).end(bytes));
      const trying = fetchIt({ cache: disk });
      await expect(trying).rejects.toThrow(InputError);
      await expect(trying).rejects.toThrow(/cannot write .*model\.pt\.partial: the disk is full; free some space/);
      expect(filesInCache()).toEqual(["model.pt.partial", "model.pt.partial.json"]);
      execFileSync("mount", ["-o", "remount,size=4m", disk]);
      server.requests.length = 0;
      server.answer((request, response) => serve(request, response, bytes, { etag, headers }));
      const path = await arrives(fetchIt({ cache: disk }));
      expect(existsSync(dirname(path))).toBe(true);
      expect(ranges()[0]).toMatch(/^bytes=[12]\d{5}-$/);
    } finally {
      execFileSync("umount", [disk]);
    }
  });
});
