/** The commit that a revision stands for, and its files: asked from the hub, and kept for the time without it. */

import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { writeAtomically } from "../atomic-write.ts";
import { exists, readJson, readText } from "../read.ts";
import { isGitSha, isSha256 } from "./checksum.ts";
import { openAnswer } from "./http.ts";
import type { HubFile } from "./hub-files.ts";
import { type HubLocation, locationText } from "./location.ts";
import { Interruption, isUnreachable, retrying } from "./retry.ts";
import type { DownloadContext } from "./settings.ts";

/** A state of a repository. */
export interface HubCommit {
  /** 40 hexadecimal digits. */
  readonly commit: string;
  readonly files: readonly HubFile[];
}

/**
 * The files of a revision. A full commit that was seen before is not asked for again; a branch or tag is, and if the
 * hub cannot be reached, the commit it stood for last is used, with a notice. `folder` is the repository's in the cache.
 * @throws InputError if the hub refuses or sends nonsense, or nothing is known and it cannot be asked.
 */
export async function hubCommit(location: HubLocation, folder: string, context: DownloadContext): Promise<HubCommit> {
  const known = knownCommit(location, folder);
  if (known && location.revision === known.commit) return known;
  if (context.offline) {
    if (known) {
      context.notice(`offline: using commit ${known.commit} of ${locationText(location)}, as it is in the cache`);
      return known;
    }
    throw new InputError(
      `offline: ${locationText(location)} was never downloaded to ${folder}; run once without offline mode`,
    );
  }
  const subject = locationText(location);
  const asking = known ? { ...context, attempts: Math.min(2, context.attempts) } : context;
  try {
    const root = await retrying(subject, asking, () => askHub(location, asking));
    const found = parseCommit(root, `${subject}: the hub's answer`);
    if (known?.commit !== found.commit) await remember(found, location.revision, folder);
    return found;
  } catch (error) {
    if (!known || !isUnreachable(error)) throw error;
    context.notice(`${(error as Error).message}; using commit ${known.commit}, which it stood for last`);
    return known;
  }
}

const longestListing = 2 ** 26;

async function askHub({ repository, revision }: HubLocation, context: DownloadContext): Promise<unknown> {
  const url = `${context.endpoint}/api/models/${repository}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const subject = `the list of files of hf:${repository}@${revision}`;
  const answer = await openAnswer({ url, subject, hub: { repository, revision } }, context);
  try {
    const pieces: Uint8Array[] = [];
    let length = 0;
    for (let piece = await answer.read(); piece !== undefined; piece = await answer.read()) {
      pieces.push(piece);
      length += piece.length;
      if (length > longestListing) throw new InputError(`${subject} is longer than ${longestListing} bytes`);
    }
    return JSON.parse(new TextDecoder().decode(Buffer.concat(pieces)));
  } catch (error) {
    throw error instanceof SyntaxError ? new Interruption(`${subject} is not JSON; is this a hub?`) : error;
  } finally {
    answer.close();
  }
}

const refPath = (folder: string, revision: string) => join(folder, "refs", encodeURIComponent(revision));
const listPath = (folder: string, commit: string) => join(folder, `${commit}.json`);

/** What is known without asking; a damaged note is as good as none. */
function knownCommit({ revision }: HubLocation, folder: string): HubCommit | undefined {
  try {
    const commit = isGitSha(revision) ? revision : readText(refPath(folder, revision)).trim();
    return exists(listPath(folder, commit)) ? commitFiles(folder, commit) : undefined;
  } catch {
    return undefined;
  }
}

/** The files of a commit that was seen before. @throws InputError if the note is damaged. */
export function commitFiles(folder: string, commit: string): HubCommit {
  return parseCommit(readJson(listPath(folder, commit)), listPath(folder, commit));
}

/** Kept in the form of the hub's own answer, and only what we use of it. */
async function remember({ commit, files }: HubCommit, revision: string, folder: string): Promise<void> {
  const siblings = files.map(({ path, size, checksum = "" }) => {
    const [form, digits] = checksum.split(":");
    return {
      rfilename: path,
      size,
      ...(form === "git" ? { blobId: digits } : form ? { lfs: { sha256: digits } } : {}),
    };
  });
  await writeAtomically(listPath(folder, commit), `${JSON.stringify({ sha: commit, siblings }, null, 1)}\n`);
  if (revision !== commit) await writeAtomically(refPath(folder, revision), `${commit}\n`);
}

function parseCommit(root: unknown, where: string): HubCommit {
  const { sha: commit, siblings } = fields(root);
  if (!isGitSha(commit) || !Array.isArray(siblings)) {
    throw new InputError(`${where}: expected a commit (sha) and its files (siblings); is this a hub?`);
  }
  return { commit, files: siblings.map((sibling) => parseFile(sibling, where)) };
}

function parseFile(sibling: unknown, where: string): HubFile {
  const { rfilename: path, size: whole, blobId, lfs } = fields(sibling);
  const { sha256, size: large } = fields(lfs);
  if (typeof path !== "string" || path === "") throw new InputError(`${where}: a file has no name (rfilename)`);
  const size = large ?? whole;
  const checksum = isSha256(sha256)
    ? ({ checksum: `sha256:${sha256}` } as const)
    : isGitSha(blobId) && !lfs
      ? ({ checksum: `git:${blobId}` } as const) // of a large file it is the checksum of git's pointer
      : {};
  return {
    path,
    ...(Number.isSafeInteger(size) && (size as number) >= 0 ? { size: size as number } : {}),
    ...checksum,
  };
}

/** Fields of what should be an object. */
function fields(value: unknown): { readonly [field: string]: unknown } {
  return typeof value === "object" && value !== null ? (value as { [field: string]: unknown }) : {};
}
