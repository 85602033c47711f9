/** What a server means by refusing, as a sentence for the user. */

import { InputError } from "../../array/input-error.ts";
import { Interruption } from "./retry.ts";
import type { DownloadContext } from "./settings.ts";

/** What was requested of the hub. */
export interface HubRequest {
  readonly repository: string;
  readonly revision: string;
  readonly file?: string | undefined;
}

/** The error for a status outside 200–299: an Interruption where trying again makes sense. */
export function refusal(
  subject: string,
  { status, headers }: Response,
  context: DownloadContext,
  hub?: HubRequest,
): InputError | Interruption {
  if ([408, 425, 429].includes(status) || status >= 500) {
    const waitMs = retryAfter(headers.get("retry-after"));
    const reason = status === 429 ? "too many requests (429)" : `the server has a problem (${status})`;
    return new Interruption(reason, waitMs === undefined ? {} : { waitMs });
  }
  const reason = hub ? hubReason(status, headers.get("x-error-code"), hub, context) : webReason(status);
  return new InputError(`cannot download ${subject}: ${reason}`);
}

function hubReason(
  status: number,
  code: string | null,
  { repository, revision, file }: HubRequest,
  { endpoint, token, tokenWithheld }: DownloadContext,
): string {
  if (code === "GatedRepo") {
    return `the model is gated (${status}); accept its terms at ${endpoint}/${repository} and set HF_TOKEN to a token of that account`;
  }
  if (status === 401 && tokenWithheld) {
    return "a token is needed (401), and HF_TOKEN is not sent over plain http; set HF_ENDPOINT to an https address";
  }
  if (status === 401) {
    return token === undefined
      ? `a token is needed (401): ${repository} is private, gated or does not exist; check the name, or set HF_TOKEN`
      : `the token was not accepted (401); check that HF_TOKEN is valid and may read ${repository}, and the name`;
  }
  if (status === 403) {
    return `access is denied (403); accept the terms at ${endpoint}/${repository}, and check that HF_TOKEN may read it`;
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
function retryAfter(text: string | null): number | undefined {
  if (text === null) return undefined;
  if (/^\d+$/.test(text.trim())) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}
