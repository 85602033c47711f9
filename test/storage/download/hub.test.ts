import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { localPath } from "../../../src/storage/download/local-path.ts";
import type { DownloadOptions, DownloadProgress } from "../../../src/storage/download/settings.ts";
import { type Handler, serve, someBytes, startServer, type TestServer } from "./server.ts";

/** A hub with one repository, `a/b`. */
interface Repository {
  commit: string;
  files: Record<string, Buffer>;
  /** Overrides fields of the listing. */
  listing?: object;
  /** Headers of every file. */
  headers?: Record<string, string>;
}

const sha = (form: string, ...parts: (string | Buffer)[]) =>
  parts.reduce((hash, part) => hash.update(part), createHash(form)).digest("hex");
const [first, second] = ["1".repeat(40), "2".repeat(40)];
const weights = someBytes(200_000);
const config = Buffer.from('{"depth": 2}\n');

let hub: TestServer;
let store: TestServer;
let cache = "";
let repository: Repository;
let notices: string[] = [];

/** The hub's API and its files: large ones are at another host, and described in the redirect to it. */
const asHub: Handler = (request, response) => {
  const { commit, files, listing, headers } = repository;
  const [path] = request.url!.split("?");
  if (/^\/api\/models\/a\/b\/revision\/(main|refs%2Fpr%2F1|[12]{40})$/.test(path!)) {
    const siblings = Object.entries(files).map(([rfilename, bytes]) => {
      const blobId = sha("sha1", `blob ${bytes.length}\0`, bytes);
      const lfs =
        bytes.length > 1000 ? { lfs: { sha256: sha("sha256", bytes), size: bytes.length, pointerSize: 134 } } : {};
      return { rfilename, size: bytes.length, blobId, ...lfs };
    });
    response.writeHead(200).end(JSON.stringify({ sha: commit, siblings, ...listing }));
    return;
  }
  const file = decodeURIComponent(path!.replace(`/a/b/resolve/${commit}/`, ""));
  const bytes = files[file];
  if (!bytes) response.writeHead(404, { "x-error-code": "EntryNotFound" }).end();
  else if (bytes.length > 1000) {
    const tag = { "x-linked-etag": `"${sha("sha256", bytes)}"`, "x-linked-size": String(bytes.length) };
    const location = `${store.origin}/${sha("sha256", bytes)}`;
    response.writeHead(302, { location, "x-repo-commit": commit, ...tag, ...headers }).end();
  } else serve(request, response, bytes, { etag: '"small"', headers: { "x-repo-commit": commit, ...headers } });
};
const asStore: Handler = (request, response) => {
  const bytes = Object.values(repository.files).find((one) => request.url === `/${sha("sha256", one)}`)!;
  serve(request, response, bytes, { etag: '"stored"' });
};

beforeAll(async () => {
  [hub, store] = await Promise.all([startServer(), startServer()]);
});
afterAll(() => Promise.all([hub.close(), store.close()]));
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "tinyfusion-"));
  repository = { commit: first, files: { "README.md": Buffer.from("hello"), "model.safetensors": weights } };
  for (const [server, handler] of [
    [hub, asHub],
    [store, asStore],
  ] as const) {
    server.answer(handler);
    server.requests.length = 0;
  }
  notices = [];
});
afterEach(() => rmSync(cache, { recursive: true }));

const options = (more: Partial<DownloadOptions> = {}): DownloadOptions => ({
  cache,
  endpoint: hub.origin,
  offline: false,
  notice: (message) => notices.push(message),
  pause: async () => {},
  ...more,
});
const get = (text: string, more: Partial<DownloadOptions> = {}) => localPath(text, options(more));
const folder = () => join(cache, "hub", hub.origin.slice(7).replace(":", "_"), "a--b");
const filesIn = (path: string) =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name, parentPath }) => join(parentPath, name).slice(path.length + 1))
    .sort();
const lines = () => [...hub.requests, ...store.requests].map(({ line }) => line.replace(/\?.*/, ""));

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
  "README.md": Buffer.from("hello"),
});

describe("a repository of the hub", () => {
  test("with one file of weights gives that file", async () => {
    const path = await get("hf:a/b");
    expect(path).toBe(join(folder(), first, "model.safetensors"));
    expect(readFileSync(path).equals(weights)).toBe(true);
    expect(filesIn(folder())).toEqual([`${first}.json`, `${first}/model.safetensors`, "refs/main"]);
    expect(readFileSync(join(folder(), "refs", "main"), "utf8")).toBe(`${first}\n`);
    expect(lines()).toEqual([
      "GET /api/models/a/b/revision/main",
      `GET /a/b/resolve/${first}/model.safetensors`,
      `GET /${sha("sha256", weights)}`,
    ]);
  });

  test("of diffusers gives a folder with what is read of it, and progress over all files", async () => {
    repository.files = diffusers();
    const heard: DownloadProgress[] = [];
    const path = await get("hf:a/b", { progress: (progress) => heard.push(progress) });
    expect(path).toBe(join(folder(), first));
    const { "README.md": _, ...wanted } = diffusers();
    expect(filesIn(path)).toEqual(Object.keys(wanted).sort());
    for (const [name, bytes] of Object.entries(wanted)) expect(readFileSync(join(path, name)).equals(bytes)).toBe(true);
    const total = Object.values(wanted).reduce((sum, { length }) => sum + length, 0);
    expect(heard.every((one) => one.total === total)).toBe(true);
    expect(heard.at(-1)!.bytes).toBe(total);
    expect(await get("hf:a/b/vae")).toBe(join(path, "vae"));
  });

  test("sends the token to the hub only", async () => {
    await get("hf:a/b", { token: "secret" });
    expect(hub.requests.map(({ headers }) => headers.authorization)).toEqual(["Bearer secret", "Bearer secret"]);
    expect(store.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });

  test("names with spaces, and a revision with slashes", async () => {
    repository.files = { "in dir/a #1.pt": weights };
    const path = await get("hf:a/b@refs%2Fpr%2F1/in dir/a #1.pt");
    expect(path).toBe(join(folder(), first, "in dir", "a #1.pt"));
    expect(filesIn(join(folder(), "refs"))).toEqual(["refs%2Fpr%2F1"]);
  });
});

describe("the cache of the hub", () => {
  test("a branch is asked for every time, a commit never again", async () => {
    await get(`hf:a/b@${first}`);
    hub.requests.length = store.requests.length = 0;
    await get(`hf:a/b@${first}`);
    expect(lines()).toEqual([]);
    await get("hf:a/b");
    expect(lines()).toEqual(["GET /api/models/a/b/revision/main"]);
  });

  test("a new commit brings new files; what did not change is linked", async () => {
    await get("hf:a/b");
    repository = { commit: second, files: { "README.md": Buffer.from("bye"), "model.safetensors": weights } };
    store.requests.length = 0;
    const path = await get("hf:a/b");
    expect(path).toBe(join(folder(), second, "model.safetensors"));
    expect(store.requests).toEqual([]);
    expect(statSync(path).ino).toBe(statSync(join(folder(), first, "model.safetensors")).ino);
    repository = { commit: `${"1".repeat(39)}2`, files: { "model.safetensors": someBytes(200_000, 3) } };
    expect(readFileSync(await get("hf:a/b")).equals(someBytes(200_000, 3))).toBe(true);
    expect(readFileSync(path).equals(weights)).toBe(true);
  });

  test("a file that was cut off by hand is downloaded again", async () => {
    const path = await get("hf:a/b");
    writeFileSync(path, "x");
    expect(readFileSync(await get("hf:a/b")).equals(weights)).toBe(true);
  });

  test("serves when the hub is gone, with a notice; but not for what it lacks", async () => {
    await get("hf:a/b");
    hub.answer((_, response) => response.writeHead(502).end());
    expect(await get("hf:a/b")).toBe(join(folder(), first, "model.safetensors"));
    expect(notices.at(-1)).toMatch(/has a problem \(502\).*using commit 1{40}, which it stood for last/);
    await refused(get("hf:a/b@2222222222222222222222222222222222222222"), /has a problem \(502\), after 6 tries/);
  });

  test("serves offline, and says by name what is missing", async () => {
    await refused(get("hf:a/b", { offline: true }), /^offline: hf:a\/b@main was never downloaded to .*a--b; run once/);
    repository.files = diffusers();
    await get("hf:a/b/vae");
    hub.requests.length = 0;
    expect(await get("hf:a/b/vae", { offline: true })).toBe(join(folder(), first, "vae"));
    await refused(
      get("hf:a/b", { offline: true }),
      /^offline: hf:a\/b@main is not complete in .*, it lacks model_index\.json, scheduler\/.*, transformer\/diffusion_pytorch_model\.safetensors; run/,
    );
    expect(hub.requests).toEqual([]);
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
    hub.answer((_, response) => response.writeHead(status, code ? { "x-error-code": code } : {}).end());
    const trying = get("hf:a/b/x.pt", token === undefined ? {} : { token });
    await refused(trying, message);
    await refused(trying, /^cannot download the list of files of hf:a\/b@main: /);
    expect(hub.requests.length).toBe(1);
  });

  test("one file: gated, or gone, with file and revision", async () => {
    const listing = asHub;
    for (const [status, code, message] of [
      [403, "GatedRepo", /^cannot download hf:a\/b@main\/model\.safetensors: the model is gated/],
      [404, "EntryNotFound", /there is no file model\.safetensors in a\/b at revision main \(404\)/],
    ] as const) {
      hub.answer((request, response, hit) =>
        hit === 0 ? listing(request, response, hit) : response.writeHead(status, { "x-error-code": code }).end(),
      );
      await refused(get("hf:a/b"), message);
    }
    hub.answer(asHub);
    await refused(get("hf:a/b/model.pt"), /hf:a\/b@main\/model\.pt: there is no such file; the repository has README/);
  });

  test("two files of weights are listed", async () => {
    repository.files = { "a.pt": weights, "b.pt": weights };
    await refused(get("hf:a/b"), /which file\? .*: a\.pt, b\.pt/);
  });
});

describe("a hub that lies", () => {
  test.each<[string, object, RegExp]>([
    ["no commit", { sha: "../../etc" }, /the hub's answer: expected a commit \(sha\) and its files/],
    ["no files", { siblings: { 0: 1 } }, /expected a commit \(sha\) and its files \(siblings\); is this a hub\?/],
    ["a file without a name", { siblings: [{}] }, /a file has no name/],
    [
      "a name that leaves the cache",
      { siblings: [{ rfilename: "../../x.pt" }] },
      /refused a file whose name leaves the repository: \.\.\/\.\.\/x\.pt/,
    ],
    [
      "another size",
      { siblings: [{ rfilename: "model.safetensors", size: 5 }] },
      /the file has 5 bytes, the server announces 200000, twice/,
    ],
    [
      "another checksum",
      { siblings: [{ rfilename: "model.safetensors", lfs: { sha256: "0".repeat(64) } }] },
      /expected checksum sha256:0{64}, the server has a file with sha256:/,
    ],
    [
      "another checksum of a small file",
      { siblings: [{ rfilename: "README.md", blobId: "0".repeat(40) }, { rfilename: "x.pt" }] },
      /expected checksum git:0{40}, the bytes have git:/,
    ],
    ["a size beyond every disk", { siblings: [{ rfilename: "huge.pt", size: 9e14 }] }, /there is no file huge\.pt/],
  ])("%s", async (name, listing, message) => {
    repository.listing = listing;
    await refused(get(name.endsWith("small file") ? "hf:a/b/README.md" : "hf:a/b"), message);
    expect(
      existsSync(folder()) ? filesIn(folder()).filter((file) => !/^(refs\/main|1{40}\.json)$/.test(file)) : [],
    ).toEqual([]);
    expect(readdirSync(tmpdir()).includes("x.pt")).toBe(false);
  });

  test("a large file whose checksum the hub does not tell is not measured by that of git's pointer", async () => {
    const lfs = { size: weights.length, pointerSize: 134 };
    repository.listing = { siblings: [{ rfilename: "model.safetensors", blobId: "0".repeat(40), lfs }] };
    expect(readFileSync(await get("hf:a/b")).equals(weights)).toBe(true);
  });

  test("files of another commit, and no JSON", async () => {
    repository.headers = { "x-repo-commit": second };
    await refused(get("hf:a/b"), /expected the file of commit 1{40}, the server sends that of 2{40}, twice/);
    hub.answer((_, response) => response.writeHead(200).end("<html>"));
    await refused(get("hf:a/b@refs%2Fpr%2F1"), /is not JSON; is this a hub\?, after 6 tries/);
  });
});

/** Downloads in another process. */
function elsewhere(text: string): ChildProcess {
  const entry = resolve("src/storage/download/local-path.ts");
  const settings = JSON.stringify({ cache, endpoint: hub.origin, offline: false });
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
  test("kill -9 in the middle leaves a part, from which the next one goes on", async () => {
    store.answer((request, response) => serve(request, response, weights, { etag: '"stored"', stallAfter: 120_000 }));
    const child = elsewhere("hf:a/b");
    const partial = join(folder(), first, "model.safetensors.partial");
    await expect.poll(() => statSync(partial, { throwIfNoEntry: false })?.size, { timeout: 20_000 }).toBe(120_000);
    const ended = output(child);
    child.kill("SIGKILL");
    await ended;
    expect(filesIn(join(folder(), first))).toEqual(["model.safetensors.partial", "model.safetensors.partial.json"]);
    store.answer(asStore);
    store.requests.length = 0;
    const path = await get("hf:a/b");
    expect(readFileSync(path).equals(weights)).toBe(true);
    expect(store.requests.map(({ headers }) => headers.range)).toEqual(["bytes=120000-"]);
    expect(filesIn(folder())).toEqual([`${first}.json`, `${first}/model.safetensors`, "refs/main"]);
  }, 40_000);

  test("that want the same at the same time download it once", async () => {
    store.answer((request, response, hit) => setTimeout(() => asStore(request, response, hit), 300));
    const others = [elsewhere("hf:a/b"), elsewhere("hf:a/b")].map(output);
    const paths = await Promise.all([...others, get("hf:a/b"), get("hf:a/b")]);
    expect(new Set(paths)).toEqual(new Set([join(folder(), first, "model.safetensors")]));
    expect(readFileSync(paths[0]!).equals(weights)).toBe(true);
    expect(store.requests.length).toBe(1);
    expect(notices.join()).toMatch(/waiting for process \d+, which downloads to /);
    expect(filesIn(folder())).toEqual([`${first}.json`, `${first}/model.safetensors`, "refs/main"]);
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
