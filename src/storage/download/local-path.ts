/**
 * A path on disk for weights that may be on the web, in a cache that people can read.
 *
 * ```
 * ~/.cache/tinyfusion/
 *   hub/huggingface.co/facebook--DiT-XL-2-256/
 *     refs/main                               the commit that this branch stood for when it was last asked
 *     eab87f7e…c8f7.json                       the files of a commit, with sizes and checksums
 *     eab87f7e…c8f7/transformer/config.json    the files, as in the repository; equal ones of two commits are hard links
 *     eab87f7e…c8f7/vae/….safetensors.partial  an unfinished file; `.partial.json` beside it says of which version
 *     lock-…                                  the process that downloads
 *   web/host/3f5b…/model.pt                   a file from an address (the folder is its SHA-256)
 *   web/host/3f5b…/model.pt.json              which version it is: address without query, ETag, size, checksums
 * ```
 *
 * A file without `.partial` is whole. Notes and the folders of `web` are for the owner alone. Everything here may be deleted; it is then downloaded again.
 */

import { InputError } from "../../array/input-error.ts";
import { exists } from "../read.ts";
import { hubPath } from "./hub-path.ts";
import { parseLocation, withoutSecrets } from "./location.ts";
import { type DownloadOptions, downloadContext } from "./settings.ts";
import { webPath } from "./web-path.ts";

/**
 * The path of `hf:owner/name[@revision][/file]`, of an https address, or of a path, downloaded if need be. For a
 * repository without a file it is the folder of a diffusers model, or the only file of weights.
 * @throws InputError if there is no such thing, it cannot be had or has wrong bytes, or the disk refuses;
 *   the signal's reason when it is aborted. What has arrived is kept for the next call.
 */
export async function localPath(text: string, options: DownloadOptions): Promise<string> {
  const location = parseLocation(text);
  switch (location.kind) {
    case "hub":
      return hubPath(location, downloadContext(options));
    case "web":
      return webPath(location, downloadContext(options));
    case "path": {
      if (exists(location.path)) return location.path;
      const advice = hubAdvice(text) ?? "check the path";
      throw new InputError(withoutSecrets(`cannot read ${text}: no such file or folder; ${advice}`));
    }
  }
}

/**
 * What to write instead of a path that does not exist but reads like a repository of the hub, `owner/name[@revision]` or
 * a file in one; undefined for anything else, and where a folder is called like the owner.
 */
export function hubAdvice(text: string): string | undefined {
  const [, owner, name, , file] = /^(\w[\w.-]*)\/(\w[\w.-]*)(@[^/]+)?(\/.+)?$/.exec(text) ?? [];
  if (owner === undefined || exists(owner)) return undefined;
  const isFile = file === undefined && /\.(safetensors|pt|pth|ckpt|bin|npz|json|onnx|png)$/i.test(name!);
  return isFile ? undefined : `for a repository of the Hugging Face hub write hf:${text}`;
}
