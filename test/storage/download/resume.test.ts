import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  arrived,
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
} from "./rig.ts";
import { cutWhen, type Handler, type Serving, someBytes } from "./server.ts";

useServer();

/** Leaves the first 100,000 bytes of a version as a partial file. */
async function begin(): Promise<void> {
  server.answer((request, response) => serve(request, response, bytes, { etag, cutAfter: 100_000 }));
  await expect(fetchIt({ attempts: 1 })).rejects.toThrow(/after 100000 of 300000/);
  server.requests.length = 0;
}

const partial = () => {
  const folder = join(cache, "web", readdirSync(join(cache, "web"))[0]!);
  return join(folder, readdirSync(folder)[0]!, "model.pt.partial");
};
const day = (date: number) => `Mon, 0${date} Nov 2026 10:00:00 GMT`;

describe("resuming", () => {
  test("at a server that ignores ranges starts again", async () => {
    await begin();
    server.answer((request, response) => serve(request, response, bytes, { etag, ignoreRange: true }));
    await arrives(fetchIt());
    expect(ranges()).toEqual(["bytes=100000-"]);
    expect(notices.at(-1)).toMatch(/the server sends the whole file again/);
  });

  test("a file that has changed starts again, whether the server says so or only its ETag does", async () => {
    for (const ignoreIfRange of [false, true]) {
      await begin();
      const changed = someBytes(bytes.length, 7);
      server.answer((request, response) => serve(request, response, changed, { etag: '"two"', ignoreIfRange }));
      await arrives(fetchIt(), changed);
      expect(ranges()).toEqual(ignoreIfRange ? ["bytes=100000-", "all"] : ["bytes=100000-"]);
      rmSync(join(cache, "web"), { recursive: true });
    }
  });

  test("a file that has changed its length starts again", async () => {
    await begin();
    const longer = someBytes(400_000, 7);
    server.answer((request, response) => serve(request, response, longer, { etag, ignoreIfRange: true }));
    await arrives(fetchIt(), longer);
    expect(notices.join()).toMatch(/the file has changed since its first part came/);
  });

  test.each<[string, string | undefined]>([
    ["starts elsewhere", "bytes 99999-299998/300000"],
    ["is of another unit", "pages 1-2/3"],
    ["is missing", undefined],
  ])("with a Content-Range that %s starts again, and twice is refused", async (_name, range) => {
    const wrong: Handler = (_request, response) => {
      response
        .writeHead(206, range === undefined ? {} : { "content-range": range })
        .end(bytes.subarray(99_999, 299_999));
    };
    await begin();
    server.answer((request, response, hit) =>
      hit === 0 ? wrong(request, response, hit) : serve(request, response, bytes, { etag }),
    );
    await arrives(fetchIt());
    expect(ranges()).toEqual(["bytes=100000-", "all"]);
    rmSync(join(cache, "web"), { recursive: true });
    await begin();
    server.answer(wrong);
    await refused(fetchIt(), /sends range .*, twice; nothing of it was kept/);
    expect(filesInCache()).toEqual([]);
  });

  test("a range that the server says does not exist starts again", async () => {
    await begin();
    server.answer((request, response, hit) =>
      hit === 0 ? response.writeHead(416).end() : serve(request, response, bytes, { etag }),
    );
    await arrives(fetchIt());
  });

  test("without anything that tells versions apart starts again", async () => {
    server.answer((request, response) => serve(request, response, bytes, { etag: 'W/"weak"', cutAfter: 100_000 }));
    await expect(fetchIt({ attempts: 1 })).rejects.toThrow(/after 100000/);
    server.requests.length = 0;
    server.answer((request, response) => serve(request, response, bytes));
    await arrives(fetchIt());
    expect(ranges()).toEqual(["all"]);
  });

  test("goes by the date where there is no strong ETag", async () => {
    const lastModified = "Mon, 02 Nov 2026 10:00:00 GMT";
    server.answer((request, response, hit) =>
      serve(request, response, bytes, { etag: 'W/"weak"', lastModified, ...(hit === 0 ? { cutAfter: 100_000 } : {}) }),
    );
    await arrives(fetchIt());
    expect(server.requests[1]!.headers["if-range"]).toBe(lastModified);
  });

  test.each([
    ["of another address", { url: "https://elsewhere/model.pt", etag, size: 300_000 }],
    ["that is damaged", "{"],
    ["of other types", { url: 5, etag: [], size: "x" }],
    ["that is shorter than its part", { url: "same", etag, size: 99_999 }],
  ])("a part with a note %s starts again", async (_name, note) => {
    await begin();
    const notePath = `${partial()}.json`;
    const text = JSON.stringify(note).replace('"same"', `"${server.origin}/model.pt"`);
    writeFileSync(notePath, typeof note === "string" ? note : text);
    server.answer((request, response) => serve(request, response, bytes, { etag }));
    await arrives(fetchIt());
    expect(ranges()).toEqual(["all"]);
    expect(notices).toEqual([]);
  });

  test("a part that is whole needs only its check, against what the server has now", async () => {
    await begin();
    writeFileSync(partial(), bytes);
    let sent = bytes;
    server.answer((request, response) => serve(request, response, sent, { etag }));
    await arrives(fetchIt());
    expect(notices).toEqual([]); // of the second answer nothing was taken but its headers
    rmSync(join(cache, "web"), { recursive: true });
    await begin();
    writeFileSync(partial(), bytes);
    sent = someBytes(bytes.length, 7);
    server.answer((request, response) => serve(request, response, sent, { etag: '"two"' }));
    await arrives(fetchIt(), sent);
  });

  test.each<[string, Serving, Serving, RegExp]>([
    [
      "no ETag in the part, which is of another version",
      { etag },
      { etag: '"two"', hide: ["etag"] },
      /of which version/,
    ],
    ["another date in the part", { lastModified: day(1) }, { lastModified: day(2) }, /has changed/],
    [
      "no date in the part",
      { lastModified: day(1) },
      { lastModified: day(2), hide: ["last-modified"] },
      /of which ver/,
    ],
    ["an ETag instead of the date", { lastModified: day(1) }, { etag: '"two"' }, /of which version/],
    [
      "another weak ETag, and the same date",
      { etag: 'W/"1"', lastModified: day(1) },
      { etag: 'W/"2"', lastModified: day(1) },
      /has changed/,
    ],
    ["a weak ETag for a strong one", { etag }, { etag: `W/${etag}` }, /of which version/],
    ["a compressed part", { etag }, { etag, headers: { "content-encoding": "gzip" } }, /of which version/],
  ])("never joins two files of one length: %s", async (_name, before, after, told) => {
    server.answer((request, response) => serve(request, response, bytes, { ...before, cutAfter: 100_000 }));
    await expect(fetchIt({ attempts: 1 })).rejects.toThrow(/after 100000 of 300000/);
    server.requests.length = 0;
    const other = someBytes(bytes.length, 7);
    server.answer((request, response) => {
      const isPart = request.headers.range !== undefined;
      serve(request, response, other, isPart ? { ...after, ignoreIfRange: true } : { ...after, headers: {} });
    });
    await arrives(fetchIt(), other);
    expect(ranges()).toEqual(["bytes=100000-", "all"]);
    expect(notices.join()).toMatch(told);
  });

  test("a part that the server ends early is asked for again from there", async () => {
    await begin();
    server.answer((request, response, hit) => {
      if (hit > 0) return serve(request, response, bytes, { etag });
      const headers = { etag, "content-range": "bytes 100000-149999/300000", "content-length": 50_000 };
      response.writeHead(206, headers).end(bytes.subarray(100_000, 150_000));
    });
    await arrives(fetchIt());
    expect(ranges()).toEqual(["bytes=100000-", "bytes=150000-"]);
  });

  test("does not depend on how the server writes the names and units of its headers", async () => {
    await begin();
    server.answer((_, response) => {
      const headers = { ETAG: etag, "CONTENT-RANGE": "Bytes 100000-299999/300000", "Content-LENGTH": "200000" };
      response.writeHead(206, headers).end(bytes.subarray(100_000));
    });
    await arrives(fetchIt());
    expect(ranges()).toEqual(["bytes=100000-"]);
  });

  test("a file whose length nobody knows starts again", async () => {
    server.answer((_, response) => {
      response.writeHead(200, { etag }).write(bytes.subarray(0, 1000));
      cutWhen(response, () => arrived(1000));
    });
    await expect(fetchIt({ attempts: 1 })).rejects.toThrow(/after 1000 of unknown bytes/);
    server.requests.length = 0;
    server.answer((request, response) => serve(request, response, bytes, { etag }));
    await arrives(fetchIt());
    expect(ranges()).toEqual(["all"]);
  });
});
