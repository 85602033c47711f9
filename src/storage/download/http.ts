/**
 * One request over HTTP: redirects by hand, so that a token goes to its own host only; a watch over stalled connections.
 * It takes no notice of HTTPS_PROXY: behind a proxy, download by other means and give a path.
 */

import { InputError } from "../../array/input-error.ts";
import { codeOf } from "../file-error.ts";
import { type Exchange, exchange, unknownEncoding } from "./exchange.ts";
import { withoutQuery } from "./location.ts";
import { type Refused, refusal } from "./refusal.ts";
import { Interruption } from "./retry.ts";
import { type DownloadContext, isLoopback } from "./settings.ts";

/** An answer whose body has not been read yet: a success, or 416 for a range that does not exist. */
export interface Answer {
  readonly status: number;
  /** A header of the response that carries the body. */
  header(name: string): string | undefined;
  /** A header of the first response that has it: the hub describes a file in the redirect to where it is stored. */
  firstHeader(name: string): string | undefined;
  /** The next piece of the body; undefined after its end. @throws Interruption if the connection fails or stalls. */
  read(): Promise<Uint8Array | undefined>;
  /** Ends the connection, if the body was not read to its end. */
  close(): void;
}

/** What is asked for. */
export interface Request extends Refused {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const redirects = [301, 302, 303, 307, 308];
const longestChain = 10;

/**
 * Sends a GET and follows redirects to the answer.
 * @throws Interruption for what may be tried again; InputError for a refusal, an unsafe address or a bad redirect.
 */
export async function openAnswer(request: Request, context: DownloadContext): Promise<Answer> {
  const watch = watchdog(context);
  try {
    const passed: Exchange[] = [];
    let url = new URL(request.url);
    for (;;) {
      requireSafe(url, request, context);
      const response = await send(url, request, context, watch);
      passed.push(response);
      if (!redirects.includes(response.status)) return accept(passed, url, request, context, watch);
      response.close();
      url = nextAddress(response, url, request, passed.length);
    }
  } catch (error) {
    watch.stop();
    throw error;
  }
}

async function send(url: URL, { headers, subject }: Request, context: DownloadContext, watch: Watch) {
  const sent: Record<string, string> = {
    "user-agent": "tinyfusion",
    "accept-encoding": "identity", // a compressed body has another length, and no ranges
    ...headers,
  };
  if (holdsToken(url, context)) sent.authorization = `Bearer ${context.token}`;
  try {
    return await exchange(url, sent, watch.signal);
  } catch (error) {
    throw dropped(error, `no connection to ${url.host}`, subject, watch);
  }
}

function accept(passed: readonly Exchange[], url: URL, request: Request, context: DownloadContext, watch: Watch) {
  const last = passed.at(-1)!;
  const isUsable = (last.status >= 200 && last.status <= 299) || last.status === 416; // 416: the range does not exist
  if (!isUsable) {
    last.close();
    const { endpoint, tokenWithheld } = context;
    throw refusal(last, request, { tokenSent: holdsToken(url, context), tokenWithheld, endpoint });
  }
  const encoding = unknownEncoding(last);
  if (encoding !== undefined) {
    last.close();
    throw new InputError(
      `cannot download ${request.subject}: the server sends it with content encoding ${encoding}, which cannot be read here; download it by other means and give its path`,
    );
  }
  const answer: Answer = {
    status: last.status,
    header: last.header,
    firstHeader: (name) => passed.map(({ header }) => header(name)).find((value) => value !== undefined),
    read: async () => {
      try {
        const piece = await last.read();
        watch.touch();
        return piece;
      } catch (error) {
        throw dropped(error, "the connection was dropped", request.subject, watch);
      }
    },
    close: () => {
      watch.stop();
      last.close();
    },
  };
  return answer;
}

function holdsToken(url: URL, { token, endpoint }: DownloadContext): boolean {
  return token !== undefined && url.origin === new URL(endpoint).origin;
}

/** Plain http is for this machine, or for an endpoint that the user gave as http. */
function requireSafe(url: URL, { subject }: Request, { endpoint }: DownloadContext): void {
  const { protocol, origin } = url;
  if (protocol === "https:") return;
  if (protocol === "http:" && (isLoopback(url) || origin === new URL(endpoint).origin)) return;
  throw new InputError(`cannot download ${subject}: expected an https address, found ${withoutQuery(url.href)}`);
}

function nextAddress(response: Exchange, from: URL, { subject }: Request, passed: number): URL {
  if (passed > longestChain) throw new InputError(`cannot download ${subject}: more than ${longestChain} redirects`);
  const location = response.header("location");
  if (location === undefined || !URL.canParse(location, from.href)) {
    throw new InputError(`cannot download ${subject}: ${from.host} redirects (${response.status}) to no valid address`);
  }
  const next = new URL(location, from);
  if (next.username !== "" || next.password !== "") {
    throw new InputError(
      `cannot download ${subject}: ${from.host} redirects to an address with a user name or password at ${next.host}`,
    );
  }
  if (from.protocol === "https:" && next.protocol !== "https:") {
    throw new InputError(
      `cannot download ${subject}: ${from.host} redirects from https to ${next.protocol}//${next.host}`,
    );
  }
  return next;
}

/** Ends a request that the caller stops, or that gives no byte for a while. */
interface Watch {
  readonly signal: AbortSignal;
  readonly stalled: () => boolean;
  touch(): void;
  stop(): void;
}

function watchdog({ signal, stallMs }: DownloadContext): Watch {
  const controller = new AbortController();
  let stalled = false;
  const stopNow = () => controller.abort(signal?.reason);
  const timer = setTimeout(() => {
    stalled = true;
    controller.abort();
  }, stallMs);
  signal?.addEventListener("abort", stopNow, { once: true });
  if (signal?.aborted) stopNow();
  const stop = () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stopNow);
  };
  return { signal: controller.signal, stalled: () => stalled, touch: () => timer.refresh(), stop };
}

/** A failed connection; certificates do not get better by trying again. */
function dropped(error: unknown, what: string, subject: string, watch: Watch): unknown {
  if (watch.stalled()) return new Interruption(`${what}: nothing was heard for too long`);
  const code = codeOf(error);
  if (/CERT|SIGNED|VERIFY|TLS|SSL/.test(code)) {
    return new InputError(`cannot download ${subject}: ${what}: its certificate is not trusted (${code})`, {
      cause: error,
    });
  }
  return new Interruption(code === "" ? what : `${what} (${code})`);
}
