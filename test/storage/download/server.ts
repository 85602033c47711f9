/** A server on this machine for the tests of downloads, which serves properly or does as it is told. */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { uniforms } from "../../../src/array/random.ts";

export type Handler = (request: IncomingMessage, response: ServerResponse, hit: number) => void;

export interface TestServer {
  readonly origin: string;
  /** Requests so far: `GET /path`, with headers. */
  readonly requests: { readonly line: string; readonly headers: IncomingMessage["headers"] }[];
  /** What answers from now on; `hit` counts from 0 again. */
  answer(handler: Handler): void;
  close(): Promise<void>;
}

export async function startServer(handler: Handler = (_, response) => response.writeHead(404).end()) {
  let current = handler;
  let hits = 0;
  const requests: TestServer["requests"] = [];
  const server = createServer((request, response) => {
    requests.push({ line: `${request.method} ${request.url}`, headers: request.headers });
    current(request, response, hits++);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const started: TestServer = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    answer: (next) => {
      current = next;
      hits = 0;
    },
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
  return started;
}

/** Bytes that no two places share, as far as a test can tell. */
export function someBytes(length: number, index = 0): Buffer {
  const draws = uniforms({ seed: 1, purpose: "download test", step: 0, index }, length);
  return Buffer.from(Uint8Array.from(draws, (draw) => Math.floor(draw * 256)));
}

export interface Serving {
  readonly etag?: string;
  readonly lastModified?: string;
  readonly headers?: Record<string, string>;
  /** Headers of a part that are left out. */
  readonly hide?: readonly string[];
  /** Sends so many bytes of the body and cuts the connection when they have arrived. */
  readonly cutAfter?: number;
  /** Whether the file's first `length` bytes have arrived at the client. */
  readonly arrived?: (length: number) => boolean;
  /** Sends so many bytes of the body and then nothing more. */
  readonly stallAfter?: number;
  readonly ignoreRange?: boolean;
  readonly ignoreIfRange?: boolean;
}

/** Serves bytes as a good server does, ranges and conditions included, but for what `serving` says. */
export function serve(request: IncomingMessage, response: ServerResponse, bytes: Buffer, serving: Serving = {}): void {
  const { etag, lastModified, headers = {}, cutAfter, stallAfter } = serving;
  const described: Record<string, string> = {
    ...(etag === undefined ? {} : { etag }),
    ...(lastModified === undefined ? {} : { "last-modified": lastModified }),
  };
  const condition = request.headers["if-range"];
  const holds = condition === undefined || condition === etag || condition === lastModified || serving.ignoreIfRange;
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  let body = bytes;
  let start = 0;
  if (range && holds && !serving.ignoreRange) {
    start = Number(range[1]);
    if (start >= bytes.length) {
      response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
      return;
    }
    const end = range[2] ? Math.min(Number(range[2]) + 1, bytes.length) : bytes.length;
    body = bytes.subarray(start, end);
    const part = `bytes ${start}-${end - 1}/${bytes.length}`;
    for (const name of serving.hide ?? []) delete described[name];
    response.writeHead(206, { ...described, "content-range": part, "content-length": body.length, ...headers });
  } else response.writeHead(200, { ...described, "content-length": body.length, ...headers });
  const sent = cutAfter ?? stallAfter;
  if (sent === undefined) response.end(body);
  else if (cutAfter === undefined) response.write(body.subarray(0, sent));
  else {
    response.write(body.subarray(0, sent));
    cutWhen(response, () => serving.arrived?.(start + sent) ?? true);
  }
}

/** Cuts a connection as soon as `isTime`: a client drops what it has received but not yet read. */
export function cutWhen(response: ServerResponse, isTime: () => boolean): void {
  const timer = setInterval(() => {
    if (!isTime() && !response.destroyed) return;
    clearInterval(timer);
    response.destroy();
  }, 5);
}
