/** What the path of an output says: its ending is a format, a folder called like a file or among the images is a mistake. */
import { extname, isAbsolute, relative } from "node:path";
import { InputError } from "../array/input-error.ts";
import { exists, isFolder } from "../storage/read.ts";
import { quoted, SettingError, type SettingTable, type Values } from "./settings.ts";

/** Endings of the files that people mean, rather than a folder. */
const fileEndings: ReadonlySet<string> = new Set([
  ...[".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".npz", ".npy", ".onnx", ".gguf", ".h5"],
  ...[".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"],
  ...[".json", ".jsonl", ".yaml", ".yml", ".html", ".csv", ".txt", ".md", ".zip", ".tar", ".gz"],
]);

/** The ending of a file's name in small letters, as `.png`; empty for a name that may be a folder's, and for a folder. */
export function fileEnding(path: string): string {
  const ending = extname(path).toLowerCase();
  return fileEndings.has(ending) && !isFolder(path) ? ending : "";
}

/** @throws SettingError for a folder that is called like a file: a folder of that name would be made. */
export function refuseFileNames(options: SettingTable, values: Values<SettingTable>): void {
  for (const [name, option] of Object.entries(options)) {
    const value = values[name];
    if (option.kind !== "folder" || typeof value !== "string" || exists(value)) continue; // what is there has its own error
    const ending = fileEnding(value);
    if (ending === "") continue;
    throw new SettingError(
      `${quoted(name)} ${value} is called like a ${ending} file, but is a folder; leave the ending out`,
    );
  }
}

/** @throws InputError for a folder to write that is among the images of a folder, where it would count as a class. */
export function refuseInside(path: string, images: string): void {
  const way = relative(images, path);
  if (way.startsWith("..") || isAbsolute(way)) return;
  throw new InputError(
    `\`out\`: ${path} is inside the folder of images, ${images}, where it would count as a class; choose another \`out\``,
  );
}
