/**
 * A path on disk for weights that may be on the web. Files of the hub are in its own cache (hub-cache.ts), files from
 * plain addresses in `~/.cache/tinyfusion/web/HOST/HASH/` as `model.pt`, with `model.pt.json` (address without query,
 * ETag, date, size, checksum) and, while unfinished, `model.pt.partial`. Everything there may be deleted.
 */

import { InputError } from "../../array/input-error.ts";
import { exists } from "../read.ts";
import { hubPath } from "./hub-path.ts";
import { hubLocation, parseLocation, withoutSecrets } from "./location.ts";
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
  if (location.kind === "path") {
    if (exists(location.path)) return location.path;
    const advice = hubAdvice(text) ?? "check the path";
    throw new InputError(withoutSecrets(`cannot read ${text}: no such file or folder; ${advice}`));
  }
  const context = downloadContext(options);
  if (location.kind === "hub") return hubPath(location, context);
  const file = hubLocation(location.url, context.endpoint);
  return file ? hubPath(file, context) : webPath(location, context);
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
