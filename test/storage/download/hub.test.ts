import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { localPath } from "../../../src/storage/download/local-path.ts";
import type { DownloadOptions, DownloadProgress } from "../../../src/storage/download/settings.ts";
import { listed, oidOf, TestHub } from "./hub-server.ts";
import { serve, someBytes } from "./server.ts";

const [first, second] = ["1".repeat(40), "2".repeat(40)];
const weights = someBytes(200_000);
const config = Buffer.from('{"depth": 2}\n');
const readme = Buffer.from("hello");

let server: TestHub;
let cache = "";
let notices: string[] = [];

beforeAll(async () => {
  server = await TestHub.start();
});
afterAll(() => server.close());
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "tinyfusion-"));
  server.reset({ commit: first, files: { "README.md": readme, "model.safetensors": weights } });
  notices = [];
});
afterEach(() => rmSync(cache, { recursive: true }));

const options = (more: Partial<DownloadOptions> = {}): DownloadOptions => ({
  cache: join(cache, "own"),
  hubCache: cache,
  endpoint: server.hub.origin,
  offline: false,
  notice: (message) => notices.push(message),
  pause: async () => {},
  ...more,
});
const get = (text: string, more: Partial<DownloadOptions> = {}) => localPath(text, options(more));
const folder = () => join(cache, "models--a--b");
const snapshot = (commit = first) => join(folder(), "snapshots", commit);
const filesIn = (path: string) =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map(({ name, parentPath }) => join(parentPath, name).slice(path.length + 1))
    .sort();
const model = ["blobs", "refs", "snapshots", "trees"];
const wholeModel = () => [
  `blobs/${oidOf(weights)}`,
  "refs/main",
  `snapshots/${first}/model.safetensors`,
  `trees/${first}.json`,
];

async function refused(trying: Promise<string>, message: RegExp): Promise<void> {
  const error = await trying.then(
    (path) => new Error(`it was downloaded to ${path}`),
    (thrown: unknown) => thrown as Error,
  );
  expect(error.message).toMatch(message);
  expect(error).toBeInstanceOf(InputError);
}

const diffusers = () => ({
  "model_index.json": config,
  "scheduler/scheduler_config.json": config,
  "transformer/config.json": config,
  "transformer/diffusion_pytorch_model.safetensors": weights,
  "vae/config.json": config,
  "vae/diffusion_pytorch_model.safetensors": someBytes(5000, 2),
  "README.md": readme,
});

describe("a repository of the hub", () => {
  test("with one file of weights gives that file, in the layout of huggingface_hub", async () => {
    const path = await get("hf:a/b");
    expect(path).toBe(join(snapshot(), "model.safetensors"));
    expect(readFileSync(path).equals(weights)).toBe(true);
    expect(readdirSync(folder()).sort()).toEqual(model);
    expect(filesIn(folder())).toEqual(wholeModel());
    expect(readlinkSync(path)).toBe(join("..", "..", "blobs", oidOf(weights)));
    expect(readFileSync(join(folder(), "refs", "main"), "utf8")).toBe(first);
    const tree = JSON.parse(readFileSync(join(folder(), "trees", `${first}.json`), "utf8"));
    const { oid, lfs } = listed("model.safetensors", weights) as { oid: string; lfs: { oid: string; size: number } };
    expect(tree).toEqual({
      format_version: 1,
      files: {
        "README.md": { size: readme.length, blob_id: oidOf(readme) },
        "model.safetensors": { size: weights.length, blob_id: oid, lfs_sha256: lfs.oid, lfs_size: lfs.size },
      },
    });
    expect(server.hub.requests.length).toBe(4);
  });

  test("of diffusers gives a folder with what is read of it, and progress over all files", async () => {
    server.repository.files = diffusers();
    const heard: DownloadProgress[] = [];
    const path = await get("hf:a/b", { progress: (progress) => heard.push(progress) });
    expect(path).toBe(snapshot());
    const { "README.md": _, ...wanted } = diffusers();
    expect(filesIn(path)).toEqual(Object.keys(wanted).sort());
    for (const [name, bytes] of Object.entries(wanted)) expect(readFileSync(join(path, name)).equals(bytes)).toBe(true);
    expect(readlinkSync(join(path, "vae", "config.json"))).toBe(join("..", "..", "..", "blobs", oidOf(config)));
    expect(readdirSync(join(folder(), "blobs")).length).toBe(3); // equal files are one blob
    const total = Object.values(wanted).reduce((sum, { length }) => sum + length, 0);
    expect(heard.every((one) => one.total === total)).toBe(true);
    expect(heard.at(-1)!.bytes).toBe(total);
    expect(await get("hf:a/b/vae")).toBe(join(path, "vae"));
  });

  test("sends the token to the hub only, whatever it looks like", async () => {
    await get("hf:a/b", { token: "secret" });
    expect(new Set(server.hub.requests.map(({ headers }) => headers.authorization))).toEqual(
      new Set(["Bearer secret"]),
    );
    expect(new Set(server.store.requests.map(({ headers }) => headers.authorization))).toEqual(new Set([undefined]));
  });

  test("names with spaces, and a revision with slashes", async () => {
    server.repository.files = { "in dir/a #1.pt": weights };
    const path = await get("hf:a/b@refs%2Fpr%2F1/in dir/a #1.pt");
    expect(path).toBe(join(snapshot(), "in dir", "a #1.pt"));
    expect(filesIn(join(folder(), "refs"))).toEqual(["refs/pr/1"]);
  });

  test("given as the plain address of one of its files is the file of the hub", async () => {
    const path = await get(`${server.hub.origin}/a/b/resolve/main/model.safetensors?download=true`);
    expect(path).toBe(join(snapshot(), "model.safetensors"));
  });

  test("may have an empty file, which is not asked for", async () => {
    server.repository.files = { "empty.pt": Buffer.alloc(0) };
    expect(readFileSync(await get("hf:a/b")).length).toBe(0);
    expect(server.lines().filter((line) => line.includes("resolve"))).toEqual([]);
  });

  test("lists its files in pages", async () => {
    const pages = [[listed("README.md", readme)], [listed("model.safetensors", weights)]];
    server.hub.answer((request, response, hit) => {
      if (!request.url!.includes("/tree/")) return server.asHub(request, response, hit);
      const page = request.url!.includes("cursor=2") ? 1 : 0;
      const link = { link: `<${server.hub.origin}/api/models/a/b/tree/${first}?cursor=2>; rel="next"` };
      response.writeHead(200, page === 0 ? link : {}).end(JSON.stringify(pages[page]));
    });
    expect(await get("hf:a/b")).toBe(join(snapshot(), "model.safetensors"));
  });
});

describe("the cache of the hub", () => {
  test("a branch is asked for every time, a commit never again", async () => {
    await get(`hf:a/b@${first}`);
    server.hub.requests.length = server.store.requests.length = 0;
    await get(`hf:a/b@${first}`);
    expect(server.lines()).toEqual([]);
    await get("hf:a/b");
    expect(server.lines()).toEqual(["GET /api/models/a/b/revision/main"]);
  });

  test("a new commit brings new files; what did not change is linked to the same blob", async () => {
    await get("hf:a/b");
    server.reset({ commit: second, files: { "README.md": Buffer.from("bye"), "model.safetensors": weights } });
    const path = await get("hf:a/b");
    expect(path).toBe(join(snapshot(second), "model.safetensors"));
    expect(server.store.requests).toEqual([]);
    expect(realpathSync(path)).toBe(realpathSync(join(snapshot(), "model.safetensors")));
    expect(readFileSync(join(folder(), "refs", "main"), "utf8")).toBe(second);
    server.reset({ commit: `${"1".repeat(39)}2`, files: { "model.safetensors": someBytes(200_000, 3) } });
    expect(readFileSync(await get("hf:a/b")).equals(someBytes(200_000, 3))).toBe(true);
    expect(readFileSync(path).equals(weights)).toBe(true);
  });

  test("a file that was cut off by hand is downloaded again", async () => {
    const path = await get("hf:a/b");
    writeFileSync(path, "x");
    expect(readFileSync(await get("hf:a/b")).equals(weights)).toBe(true);
  });

  test("a file whose bytes have changed is found with verify, and downloaded again or refused offline", async () => {
    const path = await get("hf:a/b");
    const damaged = Buffer.from(weights);
    damaged[100_000]! ^= 1;
    writeFileSync(path, damaged);
    expect(readFileSync(await get("hf:a/b")).equals(damaged)).toBe(true); // its size is right
    await refused(
      get("hf:a/b", { verify: true, offline: true }),
      /^offline: .*model\.safetensors is damaged: expected/,
    );
    expect(readFileSync(await get("hf:a/b", { verify: true })).equals(weights)).toBe(true);
    expect(notices.at(-1)).toMatch(/model\.safetensors has changed since it was downloaded; downloading it again/);
    server.store.requests.length = 0;
    await get("hf:a/b", { verify: true });
    expect(server.store.requests).toEqual([]);
  });

  test("serves when the hub is gone, with a notice; but not for what it lacks", async () => {
    await get("hf:a/b");
    server.hub.answer((_, response) => response.writeHead(502).end());
    expect(await get("hf:a/b")).toBe(join(snapshot(), "model.safetensors"));
    expect(notices.at(-1)).toMatch(/has a problem \(502\).*using commit 1{40}, to which it pointed last/);
    await refused(get("hf:a/b@2222222222222222222222222222222222222222"), /has a problem \(502\), after 6 tries/);
  });

  test("serves offline, and says by name what is missing", async () => {
    await refused(
      get("hf:a/b", { offline: true }),
      /^offline: hf:a\/b@main was never downloaded to .*models--a--b; run once/,
    );
    server.repository.files = diffusers();
    await get("hf:a/b/vae");
    server.hub.requests.length = 0;
    expect(await get("hf:a/b/vae", { offline: true })).toBe(join(snapshot(), "vae"));
    await refused(
      get("hf:a/b", { offline: true }),
      /^offline: hf:a\/b@main is not complete in .*, it lacks model_index\.json, scheduler\/.*, transformer\/diffusion_pytorch_model\.safetensors; run/,
    );
    expect(server.hub.requests).toEqual([]);
  });

  test("damaged files in it are as good as none", async () => {
    await get("hf:a/b");
    for (const [path, text] of [
      [`trees/${first}.json`, "{"],
      [`trees/${first}.json`, '{"format_version": 2, "files": {}}'],
      [`trees/${first}.json`, '{"format_version": 1, "files": {"x.pt": {"size": -1, "blob_id": "x"}}}'],
      ["refs/main", "../../etc"],
    ] as const) {
      writeFileSync(join(folder(), path), text);
      expect(await get("hf:a/b")).toBe(join(snapshot(), "model.safetensors"));
    }
    expect(readFileSync(join(folder(), "refs", "main"), "utf8")).toBe(first);
  });
});

/** What Python's huggingface_hub leaves: links to blobs, a ref, and no list of files in versions before 1.9. */
function plantByPython(files: Record<string, Buffer>): void {
  for (const path of ["blobs", "refs"]) mkdirSync(join(folder(), path), { recursive: true });
  writeFileSync(join(folder(), "refs", "main"), first);
  for (const [name, bytes] of Object.entries(files)) {
    const link = join(snapshot(), name);
    const depth = name.split("/").length + 1;
    mkdirSync(dirname(link), { recursive: true });
    writeFileSync(join(folder(), "blobs", oidOf(bytes)), bytes);
    symlinkSync(`${"../".repeat(depth)}blobs/${oidOf(bytes)}`, link);
  }
}

describe("files that Python's huggingface_hub has downloaded", () => {
  test("are found offline and without a hub, and are not downloaded again", async () => {
    plantByPython({ "model.safetensors": weights, "vae/config.json": config });
    const path = join(snapshot(), "model.safetensors");
    expect(await get("hf:a/b", { offline: true })).toBe(path);
    expect(await get(`hf:a/b@${first}`, { offline: true, verify: true })).toBe(path);
    expect(server.lines()).toEqual([]);
    server.hub.answer((_, response) => response.writeHead(503).end());
    expect(await get("hf:a/b", { attempts: 1 })).toBe(path);
    server.hub.answer(server.asHub);
    expect(await get("hf:a/b")).toBe(path);
    expect(server.store.requests).toEqual([]);
  });

  test("are compared with the names of their blobs", async () => {
    plantByPython({ "model.safetensors": weights });
    writeFileSync(join(folder(), "blobs", oidOf(weights)), someBytes(weights.length, 5));
    await refused(get("hf:a/b", { offline: true, verify: true }), /is damaged: expected checksum \w{64}/);
  });

  test("and were interrupted are resumed", async () => {
    plantByPython({});
    writeFileSync(join(folder(), "blobs", `${oidOf(weights)}.incomplete`), weights.subarray(0, 70_000));
    expect(readFileSync(await get("hf:a/b")).equals(weights)).toBe(true);
    expect(server.ranges()).toEqual(["bytes=70000-199999"]);
    expect(filesIn(folder())).toEqual(wholeModel());
  });

  test("without links, where the system has none, are found too", async () => {
    mkdirSync(join(folder(), "refs"), { recursive: true });
    mkdirSync(snapshot(), { recursive: true });
    writeFileSync(join(folder(), "refs", "main"), first);
    writeFileSync(join(snapshot(), "model.safetensors"), weights);
    expect(await get("hf:a/b", { offline: true, verify: true })).toBe(join(snapshot(), "model.safetensors"));
    expect(await get("hf:a/b")).toBe(join(snapshot(), "model.safetensors"));
    expect(lstatSync(join(snapshot(), "model.safetensors")).isFile()).toBe(true);
  });
});

test("a cache in which nothing can be written serves what it has", async () => {
  plantByPython({ "model.safetensors": weights });
  rmSync(join(folder(), "refs"), { recursive: true });
  for (const name of ["refs", "trees"]) writeFileSync(join(folder(), name), "a file where a folder is expected");
  expect(await get("hf:a/b")).toBe(join(snapshot(), "model.safetensors"));
  expect(server.store.requests).toEqual([]);
});

describe("a connection that drops", () => {
  const arrived = (length: number) => {
    const blobs = join(folder(), "blobs");
    return existsSync(blobs) && filesIn(blobs).some((name) => statSync(join(blobs, name)).size >= length);
  };

  test("is resumed where it broke", async () => {
    server.store.answer((request, response, hit) => {
      server.repository.serving = hit < 4 ? { cutAfter: 60_000, arrived } : {};
      server.asStore(request, response, hit);
    });
    expect(readFileSync(await get("hf:a/b")).equals(weights)).toBe(true);
    expect(server.ranges()).toEqual(["all", "bytes=60000-199999", "bytes=120000-199999"]);
    expect(notices[0]).toMatch(/model\.safetensors: the connection was dropped.* after 60000 of 200000 bytes; trying/);
  });

  test("and one that stalls is tried again; too often ends with a message, and the part is kept", async () => {
    server.repository.serving = { stallAfter: 50_000 };
    await refused(
      get("hf:a/b", { attempts: 2, stallMs: 300 }),
      /no data for too long after 100000 of 200000 bytes, after 2 tries; a later try resumes from here/,
    );
    expect(statSync(join(folder(), "blobs", `${oidOf(weights)}.incomplete`)).size).toBe(100_000);
  });

  test("because the caller aborts keeps the part", async () => {
    const controller = new AbortController();
    server.repository.serving = { stallAfter: 60_000 };
    const progress = ({ bytes }: DownloadProgress) => {
      if (bytes >= 60_000) controller.abort(new Error("enough"));
    };
    setTimeout(() => controller.abort(new Error("enough")), 1000); // progress is reported at most every 100 ms
    await expect(get("hf:a/b", { signal: controller.signal, progress })).rejects.toThrow("enough");
    delete server.repository.serving;
    server.store.requests.length = 0;
    expect(readFileSync(await get("hf:a/b")).equals(weights)).toBe(true);
    expect(server.ranges()).toEqual(["bytes=60000-199999"]);
  });

  test("to a server that ignores ranges is started again", async () => {
    mkdirSync(join(folder(), "blobs"), { recursive: true });
    writeFileSync(join(folder(), "blobs", `${oidOf(weights)}.incomplete`), weights.subarray(0, 70_000));
    server.store.answer((request, response) => {
      const isProbe = request.headers.range === "bytes=0-0";
      serve(request, response, weights, { etag: '"stored"', ignoreRange: !isProbe });
    });
    expect(readFileSync(await get("hf:a/b")).equals(weights)).toBe(true);
    expect(notices.at(-1)).toMatch(/the server sends the whole file again; trying again/);
  });
});

describe("a file in Xet storage", () => {
  /** Four chunks in one xorb, not compressed: a header of 8 bytes, and the bytes. */
  const size = 50_000;
  const chunks = [0, 1, 2, 3].map((i) => {
    const header = Buffer.alloc(8);
    header.writeUIntLE(size, 1, 3);
    header.writeUIntLE(size, 5, 3);
    return Buffer.concat([header, weights.subarray(i * size, (i + 1) * size)]);
  });
  const hash = "c".repeat(64);

  /** Answers as the hub, its store of chunks (CAS) and the store of xorbs do. */
  function answerWithXet(authorizations: (string | undefined)[]): void {
    server.hub.answer((request, response, hit) => {
      if (request.url === "/xet-auth") {
        const token = { accessToken: "xet", casUrl: server.store.origin, exp: Math.floor(Date.now() / 1000) + 3600 };
        response.writeHead(200).end(JSON.stringify(token));
      } else if (request.headers.accept?.includes("xet-fileinfo")) {
        const link = `<${server.hub.origin}/xet-auth>; rel="xet-auth", <${server.store.origin}/v2/reconstructions/${hash}>; rel="xet-reconstruction-info"`;
        const info = { "x-linked-size": weights.length, "x-xet-hash": hash, etag: `"${oidOf(weights)}"`, link };
        response.writeHead(200, { "content-type": "application/vnd.xet-fileinfo+json", ...info }).end("{}");
      } else server.asHub(request, response, hit);
    });
    server.store.answer((request, response, hit) => {
      authorizations.push(request.headers.authorization);
      if (!request.url!.includes("/reconstructions/")) {
        return serve(request, response, Buffer.concat(chunks), hit === 1 ? { cutAfter: 90_000 } : {});
      }
      const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
      const range = { start: Math.floor(start / size), end: 4 };
      const terms = [{ hash, unpacked_length: (4 - range.start) * size, range }];
      const bytes = { start: range.start * (size + 8), end: 4 * (size + 8) - 1 };
      const xorbs = { [hash]: [{ url: `${server.store.origin}/xorb`, ranges: [{ chunks: range, bytes }] }] };
      response.writeHead(200).end(JSON.stringify({ terms, xorbs, offset_into_first_range: start % size }));
    });
  }

  test("arrives by its protocol, also when the connection drops in between", async () => {
    const authorizations: (string | undefined)[] = [];
    answerWithXet(authorizations);
    expect(readFileSync(await get("hf:a/b", { token: "secret" })).equals(weights)).toBe(true);
    const paths = server.store.requests.map(({ line }) => line.replace(/\?.*/, ""));
    expect(new Set(paths)).toEqual(new Set([`GET /v2/reconstructions/${hash}`, "GET /xorb"]));
    expect(paths.filter((path) => path === "GET /xorb").length).toBeGreaterThan(1);
    expect(new Set(authorizations)).toEqual(new Set(["Bearer xet", undefined]));
  });

  test("is resumed from what another program has left of it", async () => {
    answerWithXet([]);
    plantByPython({});
    writeFileSync(join(folder(), "blobs", `${oidOf(weights)}.incomplete`), weights.subarray(0, 70_000));
    expect(readFileSync(await get("hf:a/b")).equals(weights)).toBe(true);
    expect(server.store.requests[0]!.headers.range).toBe("bytes=70000-199999");
  });
});

describe("a hub that refuses", () => {
  test.each<[string, number, string, string | undefined, RegExp]>([
    [
      "a private repository",
      401,
      "RepoNotFound",
      undefined,
      /a token is needed \(401\): a\/b is private, gated or does not exist; check the name, or set HF_TOKEN/,
    ],
    [
      "a wrong token",
      401,
      "",
      "secret",
      /the token was not accepted \(401\); check that HF_TOKEN is valid and may read a\/b/,
    ],
    [
      "a gated model",
      403,
      "GatedRepo",
      "secret",
      /is gated \(403\); accept its terms at http:.*\/a\/b and set HF_TOKEN/,
    ],
    ["a token without rights", 403, "", "secret", /access is denied \(403\)/],
    ["no such repository", 404, "RepoNotFound", undefined, /there is no repository a\/b \(404\)/],
    ["no such revision", 404, "RevisionNotFound", undefined, /a\/b has no revision main \(404\)/],
    ["something else", 400, "", undefined, /the hub answers with status 400/],
  ])("%s", async (_name, status, code, token, message) => {
    server.hub.answer((_, response) => response.writeHead(status, code ? { "x-error-code": code } : {}).end());
    const trying = get("hf:a/b/x.pt", token === undefined ? {} : { token });
    await refused(trying, message);
    await refused(trying, /^cannot download the list of files of hf:a\/b@main: /);
    expect(server.hub.requests.length).toBe(1);
  });

  test("one file: gated, or gone, with file and revision", async () => {
    for (const [status, code, message] of [
      [403, "GatedRepo", /^cannot download hf:a\/b@1{40}\/model\.safetensors: the model is gated/],
      [404, "EntryNotFound", /there is no file model\.safetensors in a\/b at revision 1{40} \(404\)/],
    ] as const) {
      server.hub.answer((request, response, hit) =>
        request.url!.includes("/resolve/")
          ? response.writeHead(status, { "x-error-code": code }).end()
          : server.asHub(request, response, hit),
      );
      await refused(get("hf:a/b"), message);
    }
    server.hub.answer(server.asHub);
    await refused(get("hf:a/b/model.pt"), /hf:a\/b@main\/model\.pt: there is no such file; the repository has README/);
  });

  test("for now is asked again", async () => {
    server.hub.answer((request, response, hit) => {
      if (hit < 2 || hit === 4) response.writeHead(503).end();
      else server.asHub(request, response, hit);
    });
    server.store.answer((request, response, hit) => {
      if (hit === 0) response.writeHead(503).end();
      else server.asStore(request, response, hit);
    });
    expect(readFileSync(await get("hf:a/b")).equals(weights)).toBe(true);
  });

  test("two files of weights are listed", async () => {
    server.repository.files = { "a.pt": weights, "b.pt": weights };
    await refused(get("hf:a/b"), /which file\? .*: a\.pt, b\.pt/);
  });
});

describe("a hub that lies", () => {
  const entry = (name: string, size: number, oid: string) => ({ type: "file", path: name, size, oid });
  const large = (size: number, oid: string) => ({
    ...entry("model.safetensors", size, "0".repeat(40)),
    lfs: { oid, size, pointerSize: 1 },
  });
  test.each<[string, { sha?: string; listing?: unknown }, RegExp]>([
    ["no commit", { sha: "../../etc" }, /expected a commit \(sha\); is this a hub\?/],
    ["no list", { listing: { 0: 1 } }, /this is not what a hub sends .*, after 6 tries/],
    ["a file without a name", { listing: [{ type: "file" }] }, /expected files with path, size and checksum \(oid\)/],
    ["a file without a checksum", { listing: [{ type: "file", path: "x.pt", size: 5 }] }, /expected files with path/],
    [
      "a checksum that leaves the cache",
      { listing: [{ type: "file", path: "x.pt", size: 5, oid: "../../x.pt" }] },
      /expected files with path/,
    ],
    [
      "a name that leaves the cache",
      { listing: [entry("../../x.pt", 5, "0".repeat(40))] },
      /refused a file whose name leaves the repository: \.\.\/\.\.\/x\.pt/,
    ],
    [
      "another size",
      { listing: [large(5, "0".repeat(64))] },
      /the file has 5 bytes, the server announces 200000, twice/,
    ],
    [
      "another checksum",
      { listing: [large(weights.length, "0".repeat(64))] },
      /expected checksum 0{64}, the bytes have another, twice; nothing of it was kept/,
    ],
    [
      "another checksum of a small file",
      { listing: [entry("README.md", 5, "0".repeat(40)), entry("x.pt", 5, "0".repeat(40))] },
      /expected checksum 0{40}, the bytes have another, twice/,
    ],
    ["a file that it has not", { listing: [entry("huge.pt", 9e14, "0".repeat(40))] }, /there is no file huge\.pt/],
  ])("%s", async (name, answer, message) => {
    Object.assign(server.repository, answer);
    await refused(get(name.endsWith("small file") ? "hf:a/b/README.md" : "hf:a/b"), message);
    expect(
      existsSync(folder()) ? filesIn(folder()).filter((file) => !/^(refs\/main|trees\/1{40}\.json)$/.test(file)) : [],
    ).toEqual([]);
    expect(readdirSync(tmpdir()).includes("x.pt")).toBe(false);
  });

  test("a size beyond every disk is refused before the download", async () => {
    server.repository.listing = [large(9e14, "0".repeat(64))];
    server.store.answer((_, response) =>
      response.writeHead(206, { etag: '"x"', "content-range": "bytes 0-0/900000000000000" }).end("x"),
    );
    await refused(get("hf:a/b"), /it has 900000000000000 bytes, .* has room for \d+; free some space or choose/);
  });

  test("no JSON", async () => {
    server.hub.answer((_, response) => response.writeHead(200).end("<html>"));
    await refused(get("hf:a/b@refs%2Fpr%2F1"), /this is not what a hub sends .*JSON.*, after 6 tries/);
  });
});

describe("a disk that gets full", () => {
  test("in the middle gives one message and keeps what has come", async ({ skip }) => {
    const disk = join(cache, "disk");
    mkdirSync(disk);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=150k", "tmpfs", disk], { stdio: "pipe" });
    } catch (error) {
      skip(true, `mounting a small disk needs root on Linux: ${(error as Error).message.split("\n")[0]}`);
    }
    try {
      await refused(get("hf:a/b", { hubCache: disk }), /it has 200000 bytes, .* has room for \d+; free some space/);
      execFileSync("mount", ["-o", "remount,size=4m", disk]);
      expect(readFileSync(await get("hf:a/b", { hubCache: disk })).equals(weights)).toBe(true);
    } finally {
      execFileSync("umount", [disk]);
    }
  });
});

/** Downloads in another process. */
function elsewhere(text: string): ChildProcess {
  const entry = resolve("src/storage/download/local-path.ts");
  const settings = JSON.stringify({
    cache: join(cache, "own"),
    hubCache: cache,
    endpoint: server.hub.origin,
    offline: false,
  });
  const script = `import { localPath } from ${JSON.stringify(entry)};
    console.log(await localPath(${JSON.stringify(text)}, ${settings}));`;
  return spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}
const output = (child: ChildProcess) =>
  new Promise<string>((done) => {
    let text = "";
    child.stdout!.on("data", (data: Buffer) => {
      text += data.toString();
    });
    child.once("close", () => done(text.trim()));
  });

describe("several processes", () => {
  test("kill -9 in the middle leaves a part, from which the next one resumes", async () => {
    server.repository.serving = { stallAfter: 120_000 };
    const child = elsewhere("hf:a/b");
    const partial = join(folder(), "blobs", `${oidOf(weights)}.incomplete`);
    await expect.poll(() => statSync(partial, { throwIfNoEntry: false })?.size, { timeout: 20_000 }).toBe(120_000);
    const ended = output(child);
    child.kill("SIGKILL");
    await ended;
    delete server.repository.serving;
    server.store.requests.length = 0;
    const path = await get("hf:a/b");
    expect(readFileSync(path).equals(weights)).toBe(true);
    expect(server.ranges()).toEqual(["bytes=120000-199999"]);
    expect(filesIn(folder())).toEqual(wholeModel());
  }, 40_000);

  test("that want the same at the same time download it once", async () => {
    server.store.answer((request, response, hit) => setTimeout(() => server.asStore(request, response, hit), 300));
    const others = [elsewhere("hf:a/b"), elsewhere("hf:a/b")].map(output);
    const paths = await Promise.all([...others, get("hf:a/b"), get("hf:a/b")]);
    expect(new Set(paths)).toEqual(new Set([join(snapshot(), "model.safetensors")]));
    expect(readFileSync(paths[0]!).equals(weights)).toBe(true);
    expect(server.ranges()).toEqual(["all"]);
    expect(notices.join()).toMatch(/waiting for process \d+, which downloads to /);
    expect(filesIn(folder())).toEqual(wholeModel());
    expect(filesIn(join(cache, ".locks"))).toEqual([]);
  }, 40_000);
});

describe("a path", () => {
  test("is itself if it exists; otherwise the message knows how the hub is written", async () => {
    expect(await get(cache)).toBe(cache);
    await refused(
      get("a/b"),
      /cannot read a\/b: no such file or folder; for a repository of the Hugging Face hub write hf:a\/b/,
    );
    await refused(get("./x.pt"), /cannot read \.\/x\.pt: no such file or folder; check the path/);
  });
});
