/** A hub with one repository, `a/b`: its API, and its files, of which large ones are at another host. */

import { createHash } from "node:crypto";
import { type Handler, type Serving, serve, startServer, type TestServer } from "./server.ts";

export interface Repository {
  commit: string;
  files: Record<string, Buffer>;
  /** What the API says instead of the commit. */
  sha?: string;
  /** What the API lists instead of the files. */
  listing?: unknown;
  /** How large files are served. */
  serving?: Serving;
}

const digest = (form: string, ...parts: (string | Buffer)[]) =>
  parts.reduce((hash, part) => hash.update(part), createHash(form)).digest("hex");

/** Whether a file is in LFS. */
const isLarge = (bytes: Buffer) => bytes.length > 1000;
const gitSha = (bytes: Buffer) => digest("sha1", `blob ${bytes.length}\0`, bytes);

/** The name of a file among the blobs of the cache. */
export const oidOf = (bytes: Buffer): string => (isLarge(bytes) ? digest("sha256", bytes) : gitSha(bytes));

/** The entry of a file in a listing. */
export const listed = (path: string, bytes: Buffer) => ({
  type: "file",
  path,
  size: bytes.length,
  oid: gitSha(bytes),
  ...(isLarge(bytes) ? { lfs: { oid: digest("sha256", bytes), size: bytes.length, pointerSize: 134 } } : {}),
});

export class TestHub {
  readonly hub: TestServer;
  readonly store: TestServer;
  repository: Repository = { commit: "1".repeat(40), files: {} };

  private constructor(hub: TestServer, store: TestServer) {
    this.hub = hub;
    this.store = store;
  }

  static async start(): Promise<TestHub> {
    const [hub, store] = await Promise.all([startServer(), startServer()]);
    return new TestHub(hub, store);
  }

  /** Serves a repository from now on, as a good hub does. */
  reset(repository: Repository): void {
    this.repository = repository;
    this.hub.answer(this.asHub);
    this.store.answer(this.asStore);
    this.hub.requests.length = this.store.requests.length = 0;
  }

  readonly asHub: Handler = (request, response) => {
    const { commit, files, sha = commit, listing } = this.repository;
    const path = request.url!.split("?")[0]!;
    if (/^\/api\/models\/a\/b\/revision\/(main|refs%2Fpr%2F1|[12]{40})$/.test(path)) {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ id: "a/b", sha }));
    } else if (path === `/api/models/a/b/tree/${commit}`) {
      const entries = listing ?? [
        { type: "directory", path: "folder", size: 0, oid: "0".repeat(40) },
        ...Object.entries(files).map(([name, bytes]) => listed(name, bytes)),
      ];
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(entries));
    } else {
      const bytes = files[decodeURIComponent(path.replace(`/a/b/resolve/${commit}/`, ""))];
      if (!bytes) response.writeHead(404, { "x-error-code": "EntryNotFound" }).end();
      else if (isLarge(bytes)) response.writeHead(302, { location: `${this.store.origin}/${oidOf(bytes)}` }).end();
      else serve(request, response, bytes, { etag: `"${oidOf(bytes)}"` });
    }
  };

  readonly asStore: Handler = (request, response) => {
    const bytes = Object.values(this.repository.files).find((one) => request.url === `/${oidOf(one)}`)!;
    const isProbe = request.headers.range === "bytes=0-0";
    serve(request, response, bytes, { etag: '"stored"', ...(isProbe ? {} : this.repository.serving) });
  };

  /** `GET /path` of all requests, without queries; the store's after the hub's. */
  lines(): string[] {
    return [...this.hub.requests, ...this.store.requests].map(({ line }) => line.replace(/\?.*/, ""));
  }

  /** Bytes that were requested of the store, probes for the size left out. */
  ranges(): string[] {
    const ranges = this.store.requests.map(({ headers }) => headers.range ?? "all");
    return ranges.filter((range) => range !== "bytes=0-0");
  }

  async close(): Promise<void> {
    await Promise.all([this.hub.close(), this.store.close()]);
  }
}
