/** One GET over HTTP by Node's `fetch`: the token for the endpoint only, no unsafe address, failures in words. */

import { InputError } from "../../array/input-error.ts";
import { codeOf } from "../file-error.ts";
import { withoutQuery } from "./location.ts";
import { Interruption, type Try } from "./retry.ts";
import { type DownloadContext, isLoopback } from "./settings.ts";

const longestChain = 10;

/**
 * Sends a GET and follows redirects, of which none may be unsafe; returns a response of any other status.
 * @throws Interruption if there is no connection; InputError for an unsafe address, a bad redirect or certificate.
 */
export async function send(
  subject: string,
  address: string,
  headers: Readonly<Record<string, string>>,
  { signal, touch }: Try,
  context: DownloadContext,
): Promise<Response> {
  const refused = (reason: string) => new InputError(`cannot download ${subject}: ${reason}`);
  let url = new URL(address);
  for (let redirects = 0; redirects <= longestChain; redirects++) {
    if (!isSafe(url, context)) throw refused(`expected an https address, found ${withoutQuery(url.href)}`);
    const sent: Record<string, string> = { "user-agent": "tinyfusion", "accept-encoding": "identity", ...headers };
    if (url.origin !== new URL(address).origin) delete sent.authorization;
    if (holdsToken(url, context)) sent.authorization ??= `Bearer ${context.token}`;
    const response = await fetch(url, { headers: sent, signal, redirect: "manual" }).catch((error: unknown) => {
      throw connectionError(subject, `no connection to ${url.host}`, error);
    });
    touch();
    if (![301, 302, 303, 307, 308].includes(response.status)) return watched(response, touch);
    await response.body?.cancel();
    const location = response.headers.get("location") ?? "//";
    if (!URL.canParse(location, url.href))
      throw refused(`${url.host} redirects (${response.status}) to no valid address`);
    const next = new URL(location, url);
    if (next.username + next.password !== "") {
      throw refused(`${url.host} redirects to an address with a user name or password at ${next.host}`);
    }
    if (url.protocol === "https:" && next.protocol !== "https:") {
      throw refused(`${url.host} redirects from https to ${next.protocol}//${next.host}`);
    }
    url = next;
  }
  throw refused(`more than ${longestChain} redirects`);
}

/** The response, with a body that calls `touch` for all that arrives. */
function watched(response: Response, touch: () => void): Response {
  const transform = (bytes: Uint8Array, controller: TransformStreamDefaultController) => {
    touch();
    controller.enqueue(bytes);
  };
  return new Response(response.body?.pipeThrough(new TransformStream({ transform })) ?? null, response);
}

const holdsToken = ({ origin }: URL, { token, endpoint }: DownloadContext): boolean =>
  token !== undefined && origin === new URL(endpoint).origin;

/** Plain http is for this machine, or for an endpoint that the user gave as http. */
const isSafe = ({ protocol, hostname, origin }: URL, { endpoint }: DownloadContext): boolean =>
  protocol === "https:" || (protocol === "http:" && (isLoopback(hostname) || origin === new URL(endpoint).origin));

/** A failed connection; certificates do not get better by trying again. */
export function connectionError(subject: string, operation: string, error: unknown): unknown {
  if (error instanceof Interruption || error instanceof InputError) return error;
  const cause = (error as Error | undefined)?.cause ?? error;
  const code = codeOf(cause);
  if (/CERT|SIGNED|VERIFY|TLS|SSL/.test(code)) {
    return new InputError(`cannot download ${subject}: ${operation}: its certificate is not trusted (${code})`, {
      cause: error,
    });
  }
  return new Interruption(code === "" ? operation : `${operation} (${code})`);
}
