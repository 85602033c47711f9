/** What a server means by refusing, as a sentence for the user. */

import { InputError } from "../../array/input-error.ts";
import type { Exchange } from "./exchange.ts";
import { Interruption } from "./retry.ts";

/** What was asked for, in words. */
export interface Refused {
  /** `hf:owner/name@revision/file`, or an address. */
  readonly subject: string;
  /** Set for requests to the hub. */
  readonly hub?: { readonly repository: string; readonly revision: string; readonly file?: string };
}

interface Circumstances {
  readonly tokenSent: boolean;
  /** There is a token, but the endpoint is not safe for it. */
  readonly tokenWithheld: boolean;
  readonly endpoint: string;
}

/** The error for an answer outside 200–299: an Interruption where trying again makes sense. */
export function refusal(
  { status, header }: Pick<Exchange, "status" | "header">,
  asked: Refused,
  circumstances: Circumstances,
): InputError | Interruption {
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    const waitMs = retryAfter(header("retry-after"));
    const what = status === 429 ? "too many requests (429)" : `the server has a problem (${status})`;
    return new Interruption(what, waitMs === undefined ? {} : { waitMs });
  }
  const code = header("x-error-code") ?? "";
  const reason = asked.hub ? hubReason(status, code, asked.hub, circumstances) : webReason(status);
  return new InputError(`cannot download ${asked.subject}: ${reason}`);
}

function hubReason(status: number, code: string, hub: NonNullable<Refused["hub"]>, by: Circumstances): string {
  const { repository, revision, file } = hub;
  if (code === "GatedRepo") {
    return `the model is gated (${status}); accept its terms at ${by.endpoint}/${repository} and set HF_TOKEN to a token of that account`;
  }
  if (status === 401 && by.tokenWithheld) {
    return `a token is needed (401), and HF_TOKEN is not sent over plain http; set HF_ENDPOINT to an https address`;
  }
  if (status === 401) {
    return by.tokenSent
      ? `the token was not accepted (401); check that HF_TOKEN is valid and may read ${repository}, and the name`
      : `a token is needed (401): ${repository} is private, gated or does not exist; check the name, or set HF_TOKEN`;
  }
  if (status === 403) {
    return `access is denied (403); accept the terms at ${by.endpoint}/${repository}, and check that HF_TOKEN may read it`;
  }
  if (status === 404 && code === "RepoNotFound") return `there is no repository ${repository} (404); check the name`;
  if (status === 404 && (code === "RevisionNotFound" || file === undefined)) {
    return `${repository} has no revision ${revision} (404); check the name and the revision`;
  }
  if (status === 404) return `there is no file ${file} in ${repository} at revision ${revision} (404)`;
  return `the hub answers with status ${status}`;
}

function webReason(status: number): string {
  if (status === 401) return "the server wants a login (401); download it in a browser and give its path";
  if (status === 403) return "access is denied (403); check the address, which may have expired";
  if (status === 404 || status === 410) return `there is no such file (${status}); check the address`;
  return `the server answers with status ${status}`;
}

/** `Retry-After` in milliseconds: a number of seconds, or a date. */
function retryAfter(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d+$/.test(text.trim())) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}
