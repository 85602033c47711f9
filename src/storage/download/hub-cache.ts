/**
 * The cache of the hub on disk, as `huggingface_hub` and other programs read and write it
 * (https://huggingface.co/docs/hub/local-cache).
 *
 * ```
 * ~/.cache/huggingface/hub/
 *   .locks/models--facebook--DiT-XL-2-256/lock-…      the process of ours that downloads
 *   models--facebook--DiT-XL-2-256/
 *     refs/main                                       the commit to which this branch pointed when last asked
 *     trees/eab87f7e….json                            the files of a commit, with sizes and checksums
 *     snapshots/eab87f7e…/vae/config.json             a relative link to a blob, or the file where there are no links
 *     blobs/0e83…                                     the bytes of a file, named by their SHA-256 or git's SHA-1
 *     blobs/0e83….incomplete                          an unfinished file
 * ```
 */

import { readlinkSync, renameSync, rmSync, statSync, symlinkSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import type { ListFileEntry } from "@huggingface/hub";
import { InputError } from "../../array/input-error.ts";
import { makeFolder, writeAtomically } from "../atomic-write.ts";
import { fileHash } from "../checksums.ts";
import { codeOf, fileError } from "../file-error.ts";
import { isFolder, jsonIfAny, listFolder, readText, realPath } from "../read.ts";
import type { HubFile } from "./hub-files.ts";
import { isSafeFile } from "./location.ts";

/** A commit of a repository, with its files. */
export interface HubCommit {
  /** 40 hexadecimal digits. */
  readonly commit: string;
  readonly files: readonly HubFile[];
  /** Whether these are all files of the commit, or only those that are in the cache. */
  readonly isComplete: boolean;
}

/** Whether a value is 40 hexadecimal digits: a commit, or a file in git. */
export const isGitSha = (value: unknown): value is string => typeof value === "string" && /^[0-9a-f]{40}$/.test(value);

/** The folder of a repository. */
export const repositoryFolder = (hubCache: string, repository: string): string =>
  join(hubCache, `models--${repository.replace("/", "--")}`);

const treePath = (folder: string, commit: string) => join(folder, "trees", `${commit}.json`);

/** The commit and the files that the cache has for a revision; undefined if it has none, or only damaged files. */
export function cachedCommit(folder: string, revision: string): HubCommit | undefined {
  const commit = isGitSha(revision) ? revision : readRef(folder, revision);
  if (commit === undefined) return undefined;
  const listed = parseTree(jsonIfAny(treePath(folder, commit)));
  if (listed) return { commit, files: listed, isComplete: true };
  const files = filesBelow(join(folder, "snapshots", commit));
  return files.length > 0 ? { commit, files, isComplete: false } : undefined;
}

function readRef(folder: string, revision: string): string | undefined {
  try {
    const commit = isSafeFile(revision) ? readText(join(folder, "refs", revision)).trim() : "";
    return isGitSha(commit) ? commit : undefined;
  } catch {
    return undefined;
  }
}

/** Records that a branch or tag points to a commit. */
export async function recordRef(folder: string, revision: string, commit: string): Promise<void> {
  if (revision === commit || !isSafeFile(revision) || readRef(folder, revision) === commit) return;
  await record(join(folder, "refs", revision), commit);
}

/** Writes what saves a question to the hub next time, if it can: people share caches that they may only read. */
async function record(path: string, text: string): Promise<void> {
  await writeAtomically(path, text).catch((error: unknown) => {
    if (!(error instanceof InputError)) throw error;
  });
}

/** The files of a snapshot that a program made without a list of the commit's files. */
function filesBelow(snapshot: string, path = ""): HubFile[] {
  const folder = join(snapshot, path);
  if (!isFolder(folder)) return [];
  return listFolder(folder).flatMap(({ name, kind }) => {
    const inner = path === "" ? name : `${path}/${name}`;
    if (kind === "folder") return filesBelow(snapshot, inner);
    const info = statSync(join(folder, name), { throwIfNoEntry: false });
    // A file that is no link has a checksum that nobody knows.
    const oid = kind === "file" ? "" : basename(readlinkSync(join(folder, name)));
    return info?.isFile() ? [{ path: inner, size: info.size, oid }] : [];
  });
}

/** One file in a list of files, with the fields of `huggingface_hub`. */
interface TreeEntry {
  readonly size: number;
  /** git's SHA-1 of the file, or of the pointer to a large one. */
  readonly blob_id?: string | undefined;
  /** SHA-256 of a large file. */
  readonly lfs_sha256?: string | undefined;
  readonly lfs_size?: number | undefined;
  readonly xet_hash?: string | undefined;
}

/** The files of a list; undefined if it is not one. */
function parseTree(json: unknown): HubFile[] | undefined {
  const { format_version: version, files } = (json ?? {}) as { format_version?: unknown; files?: unknown };
  if (version !== 1 || typeof files !== "object" || files === null) return undefined;
  const parsed = Object.entries(files).map(([path, entry]: [string, Partial<TreeEntry> | null]) => {
    const { size, blob_id: blob = "", lfs_sha256: sha256 = blob, lfs_size: largeSize = size } = entry ?? {};
    return { path, size: largeSize as number, oid: sha256 };
  });
  const isValid = ({ path, size, oid }: HubFile) =>
    path !== "" && Number.isSafeInteger(size) && size >= 0 && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(oid);
  return parsed.every(isValid) ? parsed : undefined;
}

/** Records the files of a commit. @throws InputError if the hub's list is not one. */
export async function recordFiles(
  folder: string,
  commit: string,
  entries: readonly ListFileEntry[],
  subject: string,
): Promise<HubCommit> {
  const listed = entries.flatMap((entry): [string, TreeEntry][] => {
    if (entry?.type !== "file") return [];
    const { path, size, oid: blob_id, lfs, xetHash: xet_hash } = entry;
    return [[path, { size, blob_id, lfs_sha256: lfs?.oid, lfs_size: lfs?.size, xet_hash }]];
  });
  const tree = { format_version: 1, files: Object.fromEntries(listed) };
  const files = parseTree(tree);
  if (!files) throw new InputError(`${subject}: expected files with path, size and checksum (oid); is this a hub?`);
  await record(treePath(folder, commit), JSON.stringify(tree, null, 1));
  return { commit, files, isComplete: true };
}

/** Whether there is a file with the size that is expected. */
export function isWhole(path: string, { size }: HubFile): boolean {
  const info = statSync(path, { throwIfNoEntry: false });
  return info?.isFile() === true && info.size === size;
}

/** Whether a file has the bytes that its checksum promises; true where that is not known. */
export async function hasChecksum(path: string, { oid }: HubFile, signal?: AbortSignal): Promise<boolean> {
  return oid === "" || (await fileHash(path, isGitSha(oid) ? "git" : "sha256", signal)) === oid;
}

/** Removes a file from a snapshot, with the blob to which it links. */
export function removeDamaged(path: string): void {
  rmSync(realPath(path), { force: true });
  rmSync(path, { force: true });
}

/** Makes a blob visible at a path of a snapshot: by a relative link, or by moving it where there are no links. */
export function linkBlob(blob: string, path: string): void {
  makeFolder(dirname(path));
  rmSync(path, { force: true });
  try {
    symlinkSync(relative(dirname(path), blob), path);
  } catch (error) {
    if (!["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(codeOf(error))) throw fileError("link", path, error);
    renameSync(blob, path);
  }
}
