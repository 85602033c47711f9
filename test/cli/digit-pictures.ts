/** Digits as the files that `evaluate`, `reference` and `pareto` take. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NDArray } from "../../src/array/ndarray.ts";
import { digitImages } from "../../src/evaluation/images/open-image-set.ts";
import { encodePng } from "../../src/formats/image-bytes.ts";
import { encodeNpz } from "../../src/formats/npz.ts";
import { run } from "./program-run.ts";

/** `count` training digits from `first` on, [count, 28, 28, 3]. */
export const digits = (first: number, count: number): Promise<NDArray<"uint8">> =>
  digitImages("train").read(first, count);

/** How `evaluate` and `generate` are to draw a few digits of {@link teacher} quickly. */
export const drawing = ["--count", "24", "--steps", "ddim2", "--seed", "5", "--threads", "1"];
export const teacher = "models/digits/teacher.safetensors";

/** Images [N, H, W, 3] as `000.png`, `001.png` …; returns the folder. */
export function plantPngs(folder: string, images: NDArray<"uint8">): string {
  mkdirSync(folder, { recursive: true });
  for (let i = 0; i < images.shape[0]!; i++) {
    const image = images.rows(i, i + 1).reshape(images.shape.slice(1));
    writeFileSync(join(folder, `${String(i).padStart(3, "0")}.png`), encodePng(image));
  }
  return folder;
}

/** The images as a folder of PNGs, and the reference that `tinyfusion reference` makes of them. */
export async function plantReference(folder: string, path: string, images: NDArray<"uint8">): Promise<void> {
  plantPngs(folder, images);
  const { code, stderr } = await run(["reference", folder, "--out", path, "--threads", "1"]);
  if (code !== 0) throw new Error(stderr);
}

export function plantNpz(path: string, arrays: Readonly<Record<string, NDArray>>): string {
  writeFileSync(path, Buffer.concat([...encodeNpz(new Map(Object.entries(arrays)))]));
  return path;
}
