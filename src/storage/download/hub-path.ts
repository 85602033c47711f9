/** Files of the hub on disk: those that are wanted and not yet in the cache are downloaded. */

import { linkSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { makeFolder } from "../atomic-write.ts";
import { holdingFolder } from "../holding-folder.ts";
import { listFolder } from "../read.ts";
import { isGitSha } from "./checksum.ts";
import { commitFiles, type HubCommit, hubCommit } from "./hub-commit.ts";
import { chooseFiles, type HubFile } from "./hub-files.ts";
import { type HubLocation, locationText } from "./location.ts";
import { progressMeter } from "./progress-meter.ts";
import { type DownloadContext, waitingFor } from "./settings.ts";
import { transfer } from "./transfer.ts";

/** The path of a file or folder of the hub. @throws as `localPath`. */
export async function hubPath(location: HubLocation, context: DownloadContext): Promise<string> {
  const host = new URL(context.endpoint).host.replaceAll(":", "_");
  const folder = join(context.cache, "hub", host, location.repository.replace("/", "--"));
  if (context.tokenWithheld) {
    context.notice(`the token is not sent to ${context.endpoint}: over plain http everyone on the way can read it`);
  }
  const state = await hubCommit(location, folder, context);
  const choice = chooseFiles(state.files, location.file, locationText(location));
  const root = join(folder, state.commit);
  const missing = () => choice.files.filter((file) => !isWhole(join(root, file.path), file));
  const absent = missing();
  if (absent.length > 0) {
    if (context.offline) {
      const names = absent.map(({ path }) => path).join(", ");
      throw new InputError(
        `offline: ${locationText(location)} is not complete in ${root}, it lacks ${names}; run once without offline mode`,
      );
    }
    // Another process may have brought some while we waited.
    await holdingFolder(folder, waitingFor(folder, context), () =>
      fetchFiles(missing(), location, state, folder, context),
    );
  }
  return join(root, choice.root);
}

async function fetchFiles(
  files: readonly HubFile[],
  location: HubLocation,
  { commit }: HubCommit,
  folder: string,
  context: DownloadContext,
): Promise<void> {
  const { repository, revision } = location;
  const meter = progressMeter(files, context);
  for (const file of files) {
    const { path } = file;
    const target = join(folder, commit, path);
    if (linkFromOtherCommit(file, commit, folder)) meter.done(path, file.size ?? 0);
    else {
      const escaped = path.split("/").map(encodeURIComponent).join("/");
      const url = `${context.endpoint}/${repository}/resolve/${commit}/${escaped}`;
      const asked = {
        url,
        subject: locationText({ ...location, file: path }),
        hub: { repository, revision, file: path },
      };
      const progress = (bytes: number, total?: number) => meter.at(path, bytes, total);
      await transfer({ ...asked, ...file, target, commit, progress }, context);
      meter.done(path, statSync(target).size);
    }
  }
}

/** A file that did not change between two commits is linked, not fetched again; false where that is not possible. */
function linkFromOtherCommit(file: HubFile, commit: string, folder: string): boolean {
  if (file.checksum === undefined) return false;
  const target = join(folder, commit, file.path);
  for (const { name } of listFolder(folder).filter(({ kind }) => kind === "folder")) {
    if (!isGitSha(name) || name === commit) continue;
    try {
      const same = commitFiles(folder, name).files.find(({ path }) => path === file.path);
      if (same?.checksum !== file.checksum || !isWhole(join(folder, name, file.path), file)) continue;
      makeFolder(dirname(target));
      rmSync(target, { force: true });
      linkSync(join(folder, name, file.path), target);
      return true;
    } catch {} // another file system or a damaged note: the download is still there
  }
  return false;
}

function isWhole(path: string, { size }: HubFile): boolean {
  const info = statSync(path, { throwIfNoEntry: false });
  return info?.isFile() === true && (size === undefined || info.size === size);
}
