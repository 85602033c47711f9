import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
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
  useServer,
  waits,
} from "./rig.ts";
import { type Handler, startServer } from "./server.ts";

useServer();

const linked =
  (headers: Record<string, string>): Handler =>
  (request, response) =>
    serve(request, response, bytes, { etag, headers });

describe("a server that lies", () => {
  test.each<[string, Handler, RegExp]>([
    ["announces more than it sends", linked({ "content-length": "300001" }), /after 300000 of 300001 bytes/],
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
      "compresses the file, of which a part could then pass for the whole",
      (_, response) => response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(bytes)),
      /model\.pt: the server sends it compressed, although asked for plain bytes; download it by other means/,
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
          : response.writeHead(302, { location: `${other.origin}/blob?signature=1` }).end(),
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
      server.answer((_, response) => response.writeHead(200, { etag }).write(bytes, () => response.end()));
      const trying = fetchIt({ cache: disk });
      await expect(trying).rejects.toThrow(InputError);
      await expect(trying).rejects.toThrow(/cannot write .*model\.pt\.partial: the disk is full; free some space/);
      expect(filesInCache()).toEqual(["model.pt.partial", "model.pt.partial.json"]);
      execFileSync("mount", ["-o", "remount,size=4m", disk]);
      server.requests.length = 0;
      server.answer((request, response) => serve(request, response, bytes, { etag }));
      const path = await arrives(fetchIt({ cache: disk }));
      expect(existsSync(dirname(path))).toBe(true);
      expect(ranges()).toEqual(["all"]); // of unknown length: it starts again
    } finally {
      execFileSync("umount", [disk]);
    }
  });
});
