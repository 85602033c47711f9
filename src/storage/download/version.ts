/** Versions of a file at an address: what is noted of them, and whether two are the same. */

import type { Checksum } from "./checksum.ts";
import { withoutQuery } from "./location.ts";

/** What a server says of a file, by which it can be known again. */
export interface Version {
  /** Without its query, which may hold a signature or a token. */
  readonly url: string;
  /** As the server that sent the bytes wrote it. */
  readonly etag?: string;
  readonly lastModified?: string;
  /** Bytes of the whole file. */
  readonly size?: number;
  readonly checksum?: Checksum;
}

/** A version from fields that may be unknown. */
export function versionFrom(fields: { readonly [F in keyof Version]-?: Version[F] | undefined }): Version {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as unknown as Version;
}

/**
 * A version from JSON of ours that anybody may have changed since.
 * @returns undefined if it is not one.
 */
export function parseVersion(json: unknown): Version | undefined {
  if (typeof json !== "object" || json === null) return undefined;
  const { url, etag, lastModified, size, checksum } = json as { [field: string]: unknown };
  const isText = (value: unknown) => value === undefined || typeof value === "string";
  const isSize = size === undefined || (Number.isSafeInteger(size) && (size as number) >= 0);
  const isChecksum = isText(checksum) && /^(sha256:[0-9a-f]{64}|git:[0-9a-f]{40})?$/.test((checksum as string) ?? "");
  if (typeof url !== "string" || !isText(etag) || !isText(lastModified) || !isChecksum || !isSize) return undefined;
  if (!URL.canParse(url)) return undefined;
  return versionFrom({ url: withoutQuery(url), etag, lastModified, size, checksum } as Parameters<
    typeof versionFrom
  >[0]);
}

/** What a server says that changes with the bytes of a file. */
type Validators = { readonly [F in "etag" | "lastModified"]?: Version[F] | undefined };

/** Whether a tag promises equal bytes. A weak one, `W/"…"`, promises an equal meaning only. */
export function isStrong(etag: string | undefined): boolean {
  return etag !== undefined && !isWeak(etag);
}

const isWeak = (etag: string) => /^W\//i.test(etag);
const opaque = (etag: string) => etag.replace(/^W\//i, "");

/**
 * Whether two descriptions are of the same bytes: by strong ETags or else by dates (RFC 9110, section 8.8).
 * @returns undefined if they have nothing in common that tells.
 */
export function sameBytes(known: Validators, found: Validators): boolean | undefined {
  if (known.etag !== undefined && found.etag !== undefined) {
    if (opaque(known.etag) !== opaque(found.etag)) return false;
    if (isStrong(known.etag) && isStrong(found.etag)) return true;
  }
  if (known.lastModified === undefined || found.lastModified === undefined) return undefined;
  return known.lastModified === found.lastModified;
}

/** Whether anything in a description changes with the file. */
export function tellsVersions({ etag, lastModified, checksum }: Version): boolean {
  return (etag ?? lastModified ?? checksum) !== undefined;
}

/** Whether a file that is here is what the server has. Equal weak ETags and lengths are enough, a length alone is not. */
export function isSame(known: Version, found: Version): boolean {
  if (known.size !== found.size || known.checksum !== found.checksum) return false;
  if (known.checksum !== undefined) return true;
  return sameBytes(known, found) ?? (known.etag !== undefined && known.etag === found.etag);
}
