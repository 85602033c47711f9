/**
 * One GET on the wire, without redirects. The body's content encoding is removed by zlib, which notices a stream that
 * ends too early; Node's `fetch` takes a part of a compressed file for the whole.
 */

import { get as getHttp, type IncomingMessage } from "node:http";
import { get as getHttps } from "node:https";
import { pipeline, type Readable, type Transform } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";

/** A response of which nothing but the headers has been read. */
export interface Exchange {
  readonly status: number;
  /** A header by its lower-case name. */
  header(name: string): string | undefined;
  /** The next piece of the decoded body; undefined after its end. @throws errors of the connection and of zlib. */
  read(): Promise<Uint8Array | undefined>;
  /** Ends the connection. */
  close(): void;
}

/** Asks for `url`. @throws errors of the connection, the signal's included. */
export function exchange(url: URL, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Exchange> {
  return new Promise((resolve, reject) => {
    const get = url.protocol === "https:" ? getHttps : getHttp;
    // No agent: a connection that was kept open may have been closed by the server, which looks like a failure. Nor is
    // the server asked to close it: an end that comes too early would take with it what has arrived and is not yet read.
    get(url, { headers: { ...headers, connection: "keep-alive" }, signal, agent: false }, (response) =>
      resolve(received(response)),
    ).on("error", reject);
  });
}

function received(response: IncomingMessage): Exchange {
  response.on("error", () => {}); // `read` throws it; before the first read nobody listens
  let pieces: AsyncIterator<Uint8Array> | undefined;
  return {
    status: response.statusCode ?? 0,
    header: (name) => {
      const value = response.headers[name];
      return Array.isArray(value) ? value.join(", ") : value;
    },
    read: async () => {
      pieces ??= decoded(response)[Symbol.asyncIterator]();
      const { done, value } = await pieces.next();
      return done ? undefined : value;
    },
    close: () => void response.destroy(),
  };
}

const decoders: { readonly [encoding: string]: () => Transform } = {
  gzip: createGunzip,
  "x-gzip": createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/** Whether the body is sent in another form than the file has: its length and its ranges are then not the file's. */
export function isEncoded({ header }: Pick<Exchange, "header">): boolean {
  return encodingOf(header("content-encoding")) !== "identity";
}

/** The content encoding of a response that cannot be read for it. */
export function unknownEncoding({ header }: Pick<Exchange, "header">): string | undefined {
  const encoding = encodingOf(header("content-encoding"));
  return encoding === "identity" || Object.hasOwn(decoders, encoding) ? undefined : encoding;
}

const encodingOf = (header: string | undefined) => header?.trim().toLowerCase() || "identity";

function decoded(response: IncomingMessage): Readable {
  const decoder = decoders[encodingOf(response.headers["content-encoding"])];
  return decoder ? pipeline(response, decoder(), () => {}) : response; // an error destroys both, and `read` throws it
}
