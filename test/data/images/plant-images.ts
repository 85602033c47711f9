/** Small image files for tests, made here. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { NDArray } from "../../../src/array/ndarray.ts";
import { integers } from "../../../src/array/random.ts";
import { encodePng } from "../../../src/formats/image-bytes.ts";

/** Noise [H, W, 3] that differs for each number. */
export function noisePicture(number: number, width = 24, height = 17): NDArray<"uint8"> {
  const pixels = integers({ seed: 4, purpose: "picture", step: 0, index: number }, width * height * 3, 256);
  return new NDArray("uint8", [height, width, 3], Uint8Array.from(pixels));
}

/** Writes a noise picture as PNG under each of these names below `folder`; other text makes a file of that text. */
export function plantImages(folder: string, names: readonly (string | readonly [name: string, text: string])[]): void {
  names.forEach((name, number) => {
    const path = join(folder, typeof name === "string" ? name : name[0]);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, typeof name === "string" ? encodePng(noisePicture(number)) : name[1]);
  });
}
