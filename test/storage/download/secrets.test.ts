/** What is secret in an address, and the token, must not be stored, shown, or sent to where it does not belong. */

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { localPath } from "../../../src/storage/download/local-path.ts";
import { withoutSecrets } from "../../../src/storage/download/location.ts";
import { downloadSettings } from "../../../src/storage/download/settings.ts";
import { listed } from "./hub-server.ts";
import { arrives, bytes, cache, etag, fetchIt, notices, options, refused, serve, server, useServer } from "./rig.ts";
import { startServer } from "./server.ts";

useServer();

const signed = "model.pt?X-Amz-Signature=SECRET1&token=SECRET2&sig=SECRET3#SECRET4";

const entries = () =>
  readdirSync(cache, { recursive: true, withFileTypes: true }).map((entry) => join(entry.parentPath, entry.name));
const files = () => entries().filter((path) => statSync(path).isFile());

/** Nothing that was written or told holds a secret, and nobody else may read the notes. */
function expectNoSecrets(): void {
  for (const path of files()) {
    expect(path).not.toContain("SECRET");
    expect(readFileSync(path).includes("SECRET"), path).toBe(false);
    if (path.endsWith(".json")) expect(statSync(path).mode & 0o077, path).toBe(0);
  }
  expect(notices.join()).not.toContain("SECRET");
}

describe("the query of an address", () => {
  test("is sent to the server, and neither stored nor told", async () => {
    server.answer((request, response, hit) =>
      serve(request, response, bytes, { etag, ...(hit === 0 ? { cutAfter: 100_000 } : {}) }),
    );
    const heard: string[] = [];
    await arrives(fetchIt({ progress: ({ file }) => heard.push(file) }, signed));
    expect(server.requests.map(({ line }) => line)).toEqual(Array(2).fill(`GET /${signed.replace(/#.*/, "")}`));
    expect(new Set(heard)).toEqual(new Set(["model.pt"]));
    await fetchIt({ offline: true }, signed);
    expectNoSecrets();
    const web = entries().filter((path) => path.startsWith(join(cache, "web")) && statSync(path).isDirectory());
    expect(web.map((path) => statSync(path).mode & 0o077)).toEqual([0, 0, 0]);
  });

  test("is not in what is left of a download that failed, nor in its message", async () => {
    server.answer((request, response) => serve(request, response, bytes, { etag, cutAfter: 100_000 }));
    expect(await refused(fetchIt({ attempts: 1 }, signed), /after 100000 of 300000/)).not.toContain("SECRET");
    expect(files().length).toBe(2);
    expectNoSecrets();
  });

  test("of a redirect is not stored or told either", async () => {
    const store = await startServer((request, response, hit) =>
      serve(request, response, bytes, { etag, ...(hit === 0 ? { cutAfter: 100_000 } : {}) }),
    );
    try {
      server.answer((_, response) =>
        response.writeHead(302, { location: `${store.origin}/x?Signature=SECRET&Expires=1` }).end(),
      );
      await arrives(fetchIt());
      expectNoSecrets();
      await store.close();
      await arrives(fetchIt({ attempts: 1 }));
      expectNoSecrets();
    } finally {
      await store.close();
    }
  });

  test.each<[string, number, Record<string, string>]>([
    ["a refusal", 403, {}],
    ["a busy server", 503, {}],
    ["a page", 200, { "content-type": "text/html" }],
    ["a redirect to plain http", 302, { location: "http://example.invalid/x?sig=SECRET" }],
    ["a redirect to no address", 302, { location: "http://:SECRET@/?SECRET" }],
    ["a redirect with a password", 302, { location: "http://SECRET:SECRET@127.0.0.1:1/x?SECRET" }],
  ])("is not in the message about %s", async (_name, status, headers) => {
    server.answer((_, response) => response.writeHead(status, headers).end());
    expect(await refused(fetchIt({}, signed), /cannot download/)).not.toContain("SECRET");
    expectNoSecrets();
  });

  test.each([
    "https://user:SECRET@host/model.pt?sig=SECRET",
    "https://host:999999/model.pt?sig=SECRET",
    "https://user:SECRET@:1/model.pt",
    " https://host/model.pt?sig=SECRET",
    "host/model.pt?X-Amz-Signature=SECRET&token=SECRET",
    "hf:owner?token=SECRET",
    "owner/name/model.pt?token=SECRET",
    "ftp://user:SECRET@host/x",
  ])("is not in the message about an address that cannot be used: %s", async (text) => {
    expect(await refused(localPath(text, options()), /./)).not.toContain("SECRET");
  });

  test.each([
    ["see https://a:b@host/x?c=d&e=f#g, or", "see https://host/x, or"],
    ["https://host/a@b/x.pt", "https://host/a@b/x.pt"],
    ["cannot read dir/a?x=1&y=2: gone", "cannot read dir/a: gone"],
    ["who? me & you = us", "who? me & you = us"],
  ])("is taken out of any text: %s", (text, expected) => {
    expect(withoutSecrets(text)).toBe(expected);
  });
});

describe("notes of older versions", () => {
  /** What version 0.1 wrote for this address. */
  function plantOld(query: string, content: Buffer, suffix = "") {
    const url = `${server.origin}/model.pt${query}`;
    const host = server.origin.slice(7).replace(":", "_");
    const folder = join(cache, "web", host, createHash("sha256").update(url).digest("hex").slice(0, 16));
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `model.pt${suffix}`), content);
    const note = { url, etag, size: bytes.length };
    writeFileSync(join(folder, `model.pt${suffix}.json`), `${JSON.stringify(note, null, 2)}\n`, { mode: 0o644 });
    return join(folder, `model.pt${suffix}`);
  }

  test("are still read: the file is not downloaded again; and are cleaned", async () => {
    server.answer((request, response) => serve(request, response, bytes, { etag }));
    const path = plantOld("?sig=SECRET", bytes);
    const { ino } = statSync(path);
    expect(await fetchIt({}, "model.pt?sig=SECRET")).toBe(path);
    expect(statSync(path).ino).toBe(ino);
    expectNoSecrets();
  });

  test("of parts are still read, and cleaned", async () => {
    server.answer((request, response) => serve(request, response, bytes, { etag }));
    plantOld("?sig=SECRET", bytes.subarray(0, 100_000), ".partial");
    await arrives(fetchIt({}, "model.pt?sig=SECRET"));
    expect(server.requests.map(({ headers }) => headers.range)).toEqual(["bytes=100000-"]);
    expectNoSecrets();
  });
});

describe("the token", () => {
  /** A server that is reached by an address which is not this machine's own name for itself. */
  async function otherAddress(answer: Parameters<typeof createServer>[1]): Promise<[Server, string]> {
    const hub = createServer(answer);
    await new Promise<void>((listening) => hub.listen(0, "0.0.0.0", listening));
    return [hub, `http://0.0.0.0:${(hub.address() as AddressInfo).port}`];
  }

  test.each([200, 401])("is never sent over plain http to another machine, which is told (%i)", async (status) => {
    const sent: (string | undefined)[] = [];
    const [hub, endpoint] = await otherAddress((request, response) => {
      sent.push(request.headers.authorization);
      if (request.url!.startsWith("/api/")) {
        const listing = request.url!.includes("/tree/")
          ? [listed("model.pt", bytes)]
          : { id: "a/b", sha: "1".repeat(40) };
        response.writeHead(status).end(JSON.stringify(listing));
      } else serve(request, response, bytes, { etag });
    });
    try {
      const message = await localPath("hf:a/b", options({ endpoint, token: "SECRET" })).catch(
        (error: unknown) => (error as Error).message,
      );
      if (status === 401) expect(message).toMatch(/HF_TOKEN is not sent over plain http; set HF_ENDPOINT to an https/);
      else expect(readFileSync(message).equals(bytes)).toBe(true);
      expect(sent.length).toBe(status === 401 ? 1 : 4);
      expect(sent.every((value) => value === undefined)).toBe(true);
      expect(notices.filter((line) => /the token is not sent to http:\/\/0\.0\.0\.0/.test(line)).length).toBe(1);
      expect([message, ...notices].join()).not.toContain("SECRET");
    } finally {
      hub.close();
      hub.closeAllConnections();
    }
  });

  test("is sent to an endpoint on this machine, and to no other server", async () => {
    server.answer((request, response) => serve(request, response, bytes, { etag }));
    await arrives(fetchIt({ endpoint: server.origin, token: "secret" }));
    await fetchIt({ endpoint: "https://hub.example", token: "secret" }, "other.pt");
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual(["Bearer secret", undefined]);
  });

  test.each([
    "https://user:SECRET@mirror.example",
    "https://mirror.example/?token=SECRET",
    "mirror?key=SECRET",
  ])("of an endpoint is refused and not shown: %s", (endpoint) => {
    const reading = () => downloadSettings({ HOME: cache, HF_ENDPOINT: endpoint });
    expect(reading).toThrow(/endpoint must be an address/);
    expect(reading).not.toThrow(/SECRET/);
  });
});
