import { readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { localPath } from "../../../src/storage/download/local-path.ts";
import type { DownloadProgress } from "../../../src/storage/download/settings.ts";
import {
  arrived,
  arrives,
  bytes,
  cache,
  etag,
  fetchIt,
  filesInCache,
  notices,
  options,
  ranges,
  refused,
  serve,
  server,
  sha256,
  useServer,
  waits,
} from "./rig.ts";
import { cutWhen, type Handler, type Serving, someBytes, startServer } from "./server.ts";

useServer();

describe("a download", () => {
  test("arrives whole, under the name of its address, with a note of its version", async () => {
    server.answer((request, response) => serve(request, response, bytes, { etag }));
    const path = await arrives(fetchIt({}, "weights/my%20model.pt?secret=1"));
    expect(path.startsWith(join(cache, "web", server.origin.slice(7).replace(":", "_")))).toBe(true);
    expect(basename(path)).toBe("my model.pt");
    expect(JSON.parse(readFileSync(`${path}.json`, "utf8"))).toEqual({
      url: `${server.origin}/weights/my%20model.pt`,
      etag,
      size: bytes.length,
      content: `sha256:${sha256}`,
      modifiedMs: statSync(path).mtimeMs,
    });
    expect(server.requests[0]!.headers["accept-encoding"]).toBe("identity");
  });

  test("tells its progress, from nothing to all", async () => {
    server.answer((request, response) => serve(request, response, bytes, { etag }));
    const heard: DownloadProgress[] = [];
    await arrives(fetchIt({ progress: (progress) => heard.push(progress) }));
    expect(heard[0]).toMatchObject({ file: "model.pt", bytes: 0, total: bytes.length });
    expect(heard.at(-1)).toMatchObject({ file: "model.pt", bytes: bytes.length, total: bytes.length });
    expect(heard.at(-1)!.bytesPerSecond).toBeGreaterThan(0);
  });

  test("of an empty file, and in chunks of unknown length", async () => {
    const cases: [Handler, Buffer][] = [
      [(request, response) => serve(request, response, Buffer.alloc(0), { etag }), Buffer.alloc(0)],
      [(_, response) => response.writeHead(200).write(bytes, () => response.end()), bytes],
    ];
    for (const [handler, expected] of cases) {
      server.answer(handler);
      await arrives(fetchIt(), expected);
      await arrives(fetchIt(), expected);
      rmSync(join(cache, "web"), { recursive: true });
    }
  });

  test("that is in the cache is asked for, and comes again only in another version", async () => {
    let current = { bytes, etag };
    server.answer((request, response) => serve(request, response, current.bytes, { etag: current.etag }));
    const path = await arrives(fetchIt());
    const { ino } = statSync(path);
    await arrives(fetchIt());
    expect(statSync(path).ino).toBe(ino);
    current = { bytes: someBytes(1000, 2), etag: '"two"' };
    expect(await arrives(fetchIt(), current.bytes)).toBe(path);
    expect(server.requests.length).toBe(3);
  });

  test.each<[string, Serving, Serving, boolean]>([
    ["nothing of versions", {}, {}, false],
    ["no more of versions", { etag }, {}, false],
    [
      "another date",
      { lastModified: "Mon, 02 Nov 2026 10:00:00 GMT" },
      { lastModified: "Tue, 03 Nov 2026 10:00:00 GMT" },
      false,
    ],
    [
      "the same date",
      { lastModified: "Mon, 02 Nov 2026 10:00:00 GMT" },
      { lastModified: "Mon, 02 Nov 2026 10:00:00 GMT" },
      true,
    ],
    ["another weak ETag", { etag: 'W/"1"' }, { etag: 'W/"2"' }, false],
    ["the same weak ETag", { etag: 'W/"1"' }, { etag: 'W/"1"' }, true],
    [
      "the same weak ETag and another date",
      { etag: 'W/"1"', lastModified: "Mon, 02 Nov 2026 10:00:00 GMT" },
      { etag: 'W/"1"', lastModified: "Tue, 03 Nov 2026 10:00:00 GMT" },
      false,
    ],
    ["the same ETag and another date", { etag, lastModified: "a" }, { etag, lastModified: "b" }, true],
  ])("whose server says %s comes from the cache only if that tells it is the same", async (_name, before, after, same) => {
    server.answer((request, response) => serve(request, response, bytes, before));
    await arrives(fetchIt());
    const other = someBytes(bytes.length, 3); // of the same length
    server.answer((request, response) => serve(request, response, other, after));
    await arrives(fetchIt(), same ? bytes : other);
    const isUnknown = after.etag === undefined && after.lastModified === undefined;
    expect(/does not say which version it has; downloading it again/.test(notices.join())).toBe(isUnknown);
  });

  test("that was changed or cut in the cache comes again, and is not used offline", async () => {
    for (const damaged of [someBytes(bytes.length, 5), bytes.subarray(0, 1000), Buffer.alloc(0)]) {
      // Of unknown length too: then the note alone cannot tell that the file was cut.
      for (const headers of [{}, { "transfer-encoding": "chunked" }]) {
        server.answer((_, response) => response.writeHead(200, { etag, ...headers }).end(bytes));
        const path = await arrives(fetchIt());
        writeFileSync(path, damaged);
        await expect(fetchIt({ offline: true })).rejects.toThrow(
          /^offline: the copy of .* is damaged; run once without/,
        );
        await arrives(fetchIt());
        expect(notices.at(-1)).toMatch(/has changed since it was downloaded; downloading it again/);
        rmSync(join(cache, "web"), { recursive: true });
      }
    }
  });

  test("asked for twice at once comes once, and the second waits for it", async () => {
    server.answer((request, response) => void setTimeout(() => serve(request, response, bytes, { etag }), 100));
    const [first, second] = await Promise.all([arrives(fetchIt()), arrives(fetchIt())]);
    expect(second).toBe(first);
    expect(notices.join()).toMatch(/waiting for process \d+, which downloads to /);
    expect(notices.join()).not.toMatch(/again/);
  });

  test("that was only touched in the cache is taken from there", async () => {
    server.answer((request, response) => serve(request, response, bytes, { etag }));
    const path = await arrives(fetchIt());
    utimesSync(path, 1e9, 1e9);
    const { ino } = statSync(path);
    await arrives(fetchIt());
    expect(statSync(path).ino).toBe(ino);
    expect(JSON.parse(readFileSync(`${path}.json`, "utf8")).modifiedMs).toBe(1e12);
  });

  test("that cannot be asked for is taken from the cache, with a notice", async () => {
    server.answer((request, response) => serve(request, response, bytes, { etag }));
    await arrives(fetchIt());
    server.answer((_, response) => response.destroy());
    await arrives(fetchIt({ attempts: 2 }));
    expect(notices.at(-1)).toMatch(/after 2 tries; .*; using the copy of 20\d\d-\d\d-\d\d \d\d:\d\d UTC$/);
    const asked = server.requests.length;
    await arrives(fetchIt({ offline: true }));
    expect(notices.at(-1)).toMatch(/^offline; using the copy of 20\d\d-\d\d-\d\d \d\d:\d\d UTC of http:.*\/model\.pt$/);
    expect(server.requests.length).toBe(asked);
  });

  test("that has another version now is not taken from the cache because the rest does not come", async () => {
    server.answer((request, response) => serve(request, response, bytes, { etag }));
    const path = await arrives(fetchIt());
    const other = someBytes(bytes.length, 4);
    server.answer((request, response) => serve(request, response, other, { etag: '"two"', cutAfter: 1000 }));
    await expect(fetchIt({ attempts: 2 })).rejects.toThrow(/after 2000 of 300000 bytes/);
    expect(readFileSync(path).equals(bytes)).toBe(true);
  });

  test("offline is refused by name, and nothing is asked", async () => {
    const message = await refused(
      fetchIt({ offline: true }),
      /^offline: .*\/model\.pt is not in the cache \(.*model\.pt\)/,
    );
    expect(message).toContain(server.origin);
    expect(server.requests).toEqual([]);
  });
});

describe("a connection that drops", () => {
  test("is taken up where it broke, again and again", async () => {
    server.answer((request, response, hit) =>
      serve(request, response, bytes, { etag, ...(hit < 3 ? { cutAfter: 70_000 } : {}) }),
    );
    await arrives(fetchIt());
    expect(ranges()).toEqual(["all", "bytes=70000-", "bytes=140000-", "bytes=210000-"]);
    expect(server.requests.slice(1).map(({ headers }) => headers["if-range"])).toEqual([etag, etag, etag]);
    expect(waits.length).toBe(3);
    for (const [at, low, high] of [
      [0, 375, 625],
      [1, 750, 1250],
      [2, 1500, 2500],
    ] as const) {
      expect(waits[at]).toBeGreaterThanOrEqual(low);
      expect(waits[at]).toBeLessThanOrEqual(high);
    }
    expect(notices[0]).toMatch(/model\.pt: the connection was dropped.* after 70000 of 300000 bytes; trying again$/);
  });

  test("before the first byte, and one that stalls, are tried again too", async () => {
    server.answer((request, response, hit) => {
      if (hit === 0) response.destroy();
      else serve(request, response, bytes, { etag, ...(hit === 1 ? { stallAfter: 50_000 } : {}) });
    });
    await arrives(fetchIt({ stallMs: 500 }));
    expect(ranges()).toEqual(["all", "all", "bytes=50000-"]);
    expect(notices[1]).toMatch(/no data for too long after 50000 of 300000/);
  });

  test("too often ends with a message; what has come is kept for the next time", async () => {
    server.answer((request, response) => serve(request, response, bytes, { etag, cutAfter: 50_000 }));
    await refused(
      fetchIt({ attempts: 3 }),
      /dropped.* after 150000 of 300000 bytes, after 3 tries; a later try resumes from here/,
    );
    expect(filesInCache()).toEqual(["model.pt.partial", "model.pt.partial.json"]);
    server.requests.length = 0;
    server.answer((request, response) => serve(request, response, bytes, { etag }));
    await arrives(fetchIt());
    expect(ranges()).toEqual(["bytes=150000-"]);
  });

  test("in the middle of chunks of unknown length is noticed", async () => {
    server.answer((_, response) => {
      response.writeHead(200);
      response.write(bytes.subarray(0, 1000));
      cutWhen(response, () => arrived(1000));
    });
    await refused(fetchIt({ attempts: 1 }), /dropped.* after 1000 of unknown bytes/);
  });

  test("to nowhere names the host", async () => {
    const gone = await startServer();
    await gone.close();
    await refused(
      localPath(`${gone.origin}/model.pt`, options({ attempts: 2 })),
      /no connection to 127\.0\.0\.1:\d+ \(ECONNREFUSED\), after 2 tries/,
    );
  });

  test("because the caller stops keeps what has come", async () => {
    const controller = new AbortController();
    server.answer((request, response) => serve(request, response, bytes, { etag, stallAfter: 60_000 }));
    const progress = ({ bytes: here }: DownloadProgress) => {
      if (here > 0) setTimeout(() => controller.abort(new Error("enough")), 50);
    };
    const heard = fetchIt({ signal: controller.signal, progress });
    setTimeout(() => controller.abort(new Error("enough")), 400); // the first report may be of 0 bytes only
    await expect(heard).rejects.toThrow("enough");
    expect(filesInCache()).toEqual(["model.pt.partial", "model.pt.partial.json"]);
    server.answer((request, response) => serve(request, response, bytes, { etag }));
    await arrives(fetchIt());
    expect(ranges()).toEqual(["all", "bytes=60000-"]);
    await expect(fetchIt({ signal: AbortSignal.abort(new Error("before")) })).rejects.toThrow("before");
  });
});
