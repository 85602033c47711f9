/** Where weights are said to be: a repository of the Hugging Face hub, an address on the web, or a path. */

import { InputError } from "../../array/input-error.ts";

/** Files of a repository. */
export interface HubLocation {
  readonly kind: "hub";
  /** `owner/name`. */
  readonly repository: string;
  /** A branch, a tag or a commit; `main` if none was given. */
  readonly revision: string;
  /** A file or a folder inside the repository, with slashes; undefined for what it holds that can be read. */
  readonly file?: string;
}

/** One file at an https address, or http where that is safe. */
export interface WebLocation {
  readonly kind: "web";
  readonly url: string;
}

/** Where weights are; a `path` is a file or folder on disk. */
export type Location = HubLocation | WebLocation | { readonly kind: "path"; readonly path: string };

const hubForm = "hf:owner/name[@revision][/file]";

/**
 * Reads `hf:owner/name[@revision][/file…]`, `https://…`, or a path, which is anything else. A revision with a slash is
 * written with `%2F`: `hf:owner/name@refs%2Fpr%2F1`.
 * @throws InputError for a repository that is not `owner/name`, a file that leaves it, or another kind of address.
 */
export function parseLocation(text: string): Location {
  if (/^hf:/i.test(text)) return parseHub(text);
  if (/^https?:/i.test(text)) return { kind: "web", url: checkedUrl(text) };
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(text)?.[1];
  if (scheme !== undefined) {
    throw new InputError(`cannot read from ${scheme}: addresses; expected ${hubForm}, https://… or a path`);
  }
  return { kind: "path", path: text };
}

/** A location in one short text, for messages; what follows `?` in an address may be a secret and is left out. */
export function locationText(location: HubLocation | WebLocation): string {
  if (location.kind === "web") return withoutQuery(location.url);
  const { repository, revision, file } = location;
  return `hf:${repository}@${revision}${file === undefined ? "" : `/${file}`}`;
}

/** Whether a name of a file can neither leave a folder nor mean something else on another system. */
export function isSafeFile(path: string): boolean {
  return path.split("/").every((part) => part !== "." && part !== ".." && /^[^\\:\p{Cc}]+$/u.test(part));
}

function parseHub(text: string): HubLocation {
  const match = /^hf:(?:\/\/)?([^/@]+)\/([^/@]+)(?:@([^/]*))?(?:\/(.*))?$/is.exec(text);
  const name = /^(?!.*(--|\.\.))[A-Za-z0-9][\w.-]*$/; // the hub has no such names, and the cache uses "--"
  if (!match || !name.test(match[1]!) || !name.test(match[2]!)) {
    throw new InputError(`${withoutSecrets(text)}: expected ${hubForm}, for example hf:facebook/DiT-XL-2-256`);
  }
  const revision = match[3] === undefined ? "main" : unescaped(match[3], text);
  if (!/^[^\s\p{Cc}]+$/u.test(revision)) throw new InputError(`${text}: expected a branch, tag or commit after @`);
  const file = match[4]?.replace(/\/$/, "");
  const location = { kind: "hub", repository: `${match[1]}/${match[2]}`, revision } as const;
  if (!file) return location;
  if (!isSafeFile(file)) throw new InputError(`${text}: expected a file inside the repository, found ${file}`);
  return { ...location, file };
}

/** The file of the hub that a plain address of it names, `ENDPOINT/owner/name/resolve/revision/file`. */
export function hubLocation(url: string, endpoint: string): HubLocation | undefined {
  if (!url.startsWith(`${endpoint}/`)) return undefined;
  const path = withoutQuery(url).slice(endpoint.length + 1);
  const [, repository, revision, file] = /^([\w.-]+\/[\w.-]+)\/resolve\/([^/]+)\/(.+)$/.exec(path) ?? [];
  if (repository === undefined) return undefined;
  try {
    return parseHub(`hf:${repository}@${revision}/${decodeURIComponent(file!)}`);
  } catch {
    return undefined; // no such file is possible: let the server say so
  }
}

function unescaped(revision: string, text: string): string {
  try {
    return decodeURIComponent(revision);
  } catch {
    throw new InputError(`${text}: the revision has a % that is not followed by two hexadecimal digits`);
  }
}

function checkedUrl(text: string): string {
  if (!URL.canParse(text)) {
    throw new InputError(`${withoutSecrets(text)}: expected an address like https://host/file.safetensors`);
  }
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") {
    throw new InputError(`${withoutQuery(text)}: an address must not hold a user name or password`);
  }
  url.hash = "";
  return url.href;
}

/** An address without its query, and without user name and password. */
export function withoutQuery(text: string): string {
  const { origin, pathname } = new URL(text);
  return origin + pathname;
}

/**
 * Any text without what may be secret in the addresses in it: queries (tokens, signatures), user names and passwords.
 * A query is also found where it follows no address, as in one that was typed without `https://`.
 */
export function withoutSecrets(text: string): string {
  return text
    .replaceAll(/\b(https?:\/*)[^\s/?#"'<>]*@/gi, "$1")
    .replaceAll(/(?:(\bhttps?:[^\s?#"'<>]*)[?#]|[?&#][\w.~%-]+=)([^\s"'<>]*)/gi, (_, address = "", query: string) => {
      const sentence = /[.,:;!)]*$/.exec(query)![0]; // the punctuation after the address
      return address + sentence;
    });
}
