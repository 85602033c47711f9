/** Files of the hub on disk: those that are wanted and not yet in its cache are downloaded. */

import { basename, join } from "node:path";
import type { ListFileEntry } from "@huggingface/hub";
import { InputError } from "../../array/input-error.ts";
import { makeFolder } from "../atomic-write.ts";
import { holdingFolder } from "../lock.ts";
import { send } from "./http.ts";
import * as cache from "./hub-cache.ts";
import { chooseFiles, type HubFile } from "./hub-files.ts";
import { type HubLocation, locationText } from "./location.ts";
import { type FileProgress, openPartial, type PartialFile } from "./partial.ts";
import { type HubRequest, refusal } from "./refusal.ts";
import { Interruption, isUnreachable, retrying, type Try, WrongAnswer } from "./retry.ts";
import { type DownloadContext, progressMeter, waitingFor } from "./settings.ts";

/** The path of a file or folder of the hub. @throws as `localPath`. */
export async function hubPath(location: HubLocation, context: DownloadContext): Promise<string> {
  const folder = cache.repositoryFolder(context.hubCache, location.repository);
  const subject = locationText(location);
  if (context.tokenWithheld) {
    context.notice(`the token is not sent to ${context.endpoint}: over plain http everyone on the way can read it`);
  }
  const { commit, files } = await findCommit(location, folder, context);
  const choice = chooseFiles(files, location.file, subject);
  const snapshot = join(folder, "snapshots", commit);
  if (context.verify) await verifyCached(choice.files, snapshot, context);
  const missing = () => choice.files.filter((file) => !cache.isWhole(join(snapshot, file.path), file));
  const absent = missing();
  if (absent.length > 0 && context.offline) {
    const names = absent.map(({ path }) => path).join(", ");
    throw new InputError(
      `offline: ${subject} is not complete in ${snapshot}, it lacks ${names}; run once without offline mode`,
    );
  }
  if (absent.length > 0) {
    const locks = join(context.hubCache, ".locks", basename(folder));
    makeFolder(locks);
    makeFolder(join(folder, "blobs"));
    await holdingFolder(locks, waitingFor(folder, context), async () => {
      const wanted = missing(); // another process may have brought some while we waited
      const meter = progressMeter(wanted, context);
      for (const file of wanted) {
        await downloadFile({ ...location, revision: commit, file: file.path }, file, folder, meter.at, context);
        meter.done(file.path, file.size);
      }
    });
  }
  return join(snapshot, choice.root);
}

/** Removes the files whose bytes have changed since they arrived. @throws InputError offline, naming the first. */
async function verifyCached(files: readonly HubFile[], snapshot: string, context: DownloadContext): Promise<void> {
  for (const file of files) {
    const path = join(snapshot, file.path);
    if (!cache.isWhole(path, file) || (await cache.hasChecksum(path, file, context.signal))) continue;
    if (context.offline) {
      throw new InputError(`offline: ${path} is damaged: expected checksum ${file.oid}; run once without offline mode`);
    }
    context.notice(`${path} has changed since it was downloaded; downloading it again`);
    cache.removeDamaged(path);
  }
}

/**
 * The commit of a revision, with its files. A commit whose files are recorded is not asked for again; a branch or tag
 * is, and if the hub cannot be reached, the commit it pointed to last is used, with a notice.
 * @throws InputError if the hub refuses or sends nonsense, or nothing is in the cache and it cannot be asked.
 */
async function findCommit(location: HubLocation, folder: string, context: DownloadContext): Promise<cache.HubCommit> {
  const { repository, revision } = location;
  const subject = locationText(location);
  const cached = cache.cachedCommit(folder, revision);
  if (cached?.isComplete && cached.commit === revision) return cached;
  if (context.offline) {
    if (!cached) {
      throw new InputError(`offline: ${subject} was never downloaded to ${folder}; run once without offline mode`);
    }
    context.notice(`offline: using commit ${cached.commit} of ${subject}, as it is in the cache`);
    return cached;
  }
  const asking = cached ? { ...context, attempts: Math.min(2, context.attempts) } : context;
  try {
    const repositoryText = locationText({ kind: "hub", repository, revision });
    const listing = `the list of files of ${repositoryText}`;
    return await retrying(listing, asking, (one) => askHub(listing, location, folder, one, context));
  } catch (error) {
    if (!cached || !isUnreachable(error)) throw error;
    context.notice(`${(error as Error).message}; using commit ${cached.commit}, to which it pointed last`);
    return cached;
  }
}

/** The commit of a revision and its files, as the hub lists them; both are recorded in the cache. */
async function askHub(
  subject: string,
  { repository, revision }: HubLocation,
  folder: string,
  one: Try,
  context: DownloadContext,
): Promise<cache.HubCommit> {
  const { hub, settings, failed } = await hubClient(subject, { repository, revision }, one, context);
  try {
    const asked = { name: repository, revision, additionalFields: ["sha" as const], ...settings };
    const commit: unknown = cache.isGitSha(revision) ? revision : (await hub.modelInfo(asked)).sha;
    if (!cache.isGitSha(commit)) throw new InputError(`${subject}: expected a commit (sha); is this a hub?`);
    const cached = cache.cachedCommit(folder, commit);
    const entries: ListFileEntry[] = [];
    if (!cached?.isComplete) {
      const listing = { repo: repository, revision: commit, recursive: true, ...settings };
      for await (const entry of hub.listFiles(listing)) entries.push(entry);
    }
    const found = cached?.isComplete ? cached : await cache.recordFiles(folder, commit, entries, subject);
    await cache.recordRef(folder, revision, commit);
    return found;
  } catch (error) {
    throw failed(error, "this is not what a hub sends");
  }
}

/** Downloads a file of a commit and links it into the snapshot. Only for the holder of the repository's lock. */
async function downloadFile(
  location: HubLocation,
  file: HubFile,
  folder: string,
  progress: (path: string, ...bytes: Parameters<FileProgress>) => void,
  context: DownloadContext,
): Promise<void> {
  const subject = locationText(location);
  const blob = join(folder, "blobs", file.oid);
  if (!cache.isWhole(blob, file)) {
    const partial = await openPartial(`${blob}.incomplete`, blob, subject);
    const report: FileProgress = (...bytes) => progress(file.path, ...bytes);
    try {
      await retrying(subject, context, (one) =>
        fillBlob(location, file, partial, report, one, context).catch(async (error: unknown) => {
          if (error instanceof WrongAnswer) await partial.clear();
          throw error;
        }),
      );
      await partial.publish();
    } finally {
      await partial.close();
    }
  }
  cache.linkBlob(blob, join(folder, "snapshots", location.revision, file.path));
}

/** One try: downloads a blob from where its unfinished file ends, and checks it. */
async function fillBlob(
  location: HubLocation,
  file: HubFile,
  partial: PartialFile,
  report: FileProgress,
  one: Try,
  context: DownloadContext,
): Promise<void> {
  const { size } = file;
  if (partial.length() > size) await partial.clear();
  if (partial.length() < size) {
    const subject = locationText(location);
    const { hub, settings, failed } = await hubClient(subject, location, one, context);
    const path = file.path.split("/").map(encodeURIComponent).join("/");
    const asked = { repo: location.repository, revision: location.revision, path, ...settings };
    try {
      const content = await hub.downloadFile(asked); // lazy: only its size was asked for
      if (content?.size !== size) {
        throw new WrongAnswer(`the file has ${size} bytes, the server announces ${content?.size}`);
      }
      await partial.receive(content.slice(partial.length(), size).stream(), size, report);
    } catch (error) {
      throw failed(error, "the connection was dropped");
    }
  }
  if (!(await cache.hasChecksum(partial.path, file, context.signal))) {
    throw new WrongAnswer(`expected checksum ${file.oid}, the bytes have another`);
  }
}

/** The library for the hub, with requests that carry the token, end with a try, and fail in words. */
async function hubClient(subject: string, asked: HubRequest, one: Try, context: DownloadContext) {
  const hub = await import("@huggingface/hub");
  let failure: unknown;
  const request: typeof fetch = async (input, init) => {
    const headers = Object.fromEntries(new Headers(init?.headers));
    const response = await send(subject, String(input), headers, one, context);
    const isOfHub = new URL(String(input)).origin === new URL(context.endpoint).origin;
    if (!response.ok && isOfHub) throw refusal(subject, response, context, asked);
    const [, start = 0] = /^bytes=(\d+)-/.exec(headers.range ?? "") ?? [];
    if (response.status === 200 && Number(start) > 0) throw new WrongAnswer("the server sends the whole file again");
    return response;
  };
  const settings = {
    hubUrl: context.endpoint,
    fetch: ((input, init) =>
      request(input, init).catch((error: unknown) => {
        failure = error;
        throw error;
      })) satisfies typeof fetch,
  };
  /** An error of ours as it is; one of the library, which may be the mere text of ours, as one to try again. */
  const failed = (error: unknown, operation: string): unknown => {
    const cause = failure ?? error;
    if (cause instanceof Interruption || cause instanceof InputError) return cause;
    return new Interruption(`${operation} (${cause instanceof Error ? cause.message : cause})`);
  };
  return { hub, settings, failed };
}
