/** Image files to RGB bytes, as Pillow's `Image.open(…).convert("RGB")` gives them to the original. */
import type { default as Sharp } from "sharp";
import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { mistakenFile } from "../../formats/file-kind.ts";
import { decodeBmp } from "./bmp.ts";
import { requirePixels } from "./image-errors.ts";
import { decodeNetpbm, isNetpbm } from "./netpbm.ts";

let loaded: Promise<typeof Sharp> | undefined;

/** Loaded when the first image is: programs without images start faster, and without its native code. */
function loadSharp(): Promise<typeof Sharp> {
  loaded ??= import("sharp").then(({ default: sharp }) => {
    sharp.cache(false); // every image is seen once
    return sharp;
  });
  return loaded;
}

/** How the formats begin that sharp reads; `?` is any byte. Others (SVG, PDF, …) would need programs of their own. */
const formats: readonly (readonly [start: string, format: string])[] = [
  ["\xff\xd8\xff", "JPEG"],
  ["\x89PNG\r\n\x1a\n", "PNG"],
  ["RIFF????WEBP", "WebP"],
  ["GIF87a", "GIF"],
  ["GIF89a", "GIF"],
  ["II*\0", "TIFF"],
  ["MM\0*", "TIFF"],
  ["????ftypavif", "AVIF"],
  ["????ftypavis", "AVIF"],
];

/**
 * An image as RGB [H, W, 3]. Of several frames or pages it is the first. Transparency is dropped, not blended; rotation
 * notes (EXIF) and colour profiles are not followed; CMYK becomes RGB by Pillow's formula, without profiles. Of 16 bits
 * the upper 8 count, also in grey images, which Pillow turns white above 255 (of PGM and PPM, values are scaled).
 * @throws InputError for another format, a damaged or truncated file, or too many pixels.
 */
export async function decodeImage(bytes: Uint8Array): Promise<NDArray<"uint8">> {
  if (isBmp(bytes)) return decodeBmp(bytes);
  if (isNetpbm(bytes)) return decodeNetpbm(bytes);
  const format = formatOf(bytes);
  const sharp = await loadSharp();
  const input = { ignoreIcc: true, failOn: "error", limitInputPixels: false } as const;
  try {
    const { width, height, space, depth } = await sharp(bytes, input).metadata();
    requirePixels(width, height);
    if (depth !== "uchar" && depth !== "ushort") {
      throw new InputError(`expected 8 or 16 bits for each channel of a ${format} image, found type ${depth}`);
    }
    if (space === "cmyk") {
      const inks = sharp(bytes, input).pipelineColourspace("cmyk").toColourspace("cmyk").raw();
      return new NDArray("uint8", [height, width, 3], rgbOfCmyk(await inks.toBuffer()));
    }
    const rgb = await sharp(bytes, input).removeAlpha().toColourspace("srgb").raw().toBuffer();
    return new NDArray("uint8", [height, width, 3], new Uint8Array(rgb.buffer, rgb.byteOffset, rgb.length));
  } catch (error) {
    if (error instanceof InputError) throw error;
    const reason = (error as Error).message.trim().replaceAll(/\s+/g, " ");
    throw new InputError(`damaged ${format} image (${reason})`);
  }
}

/** @throws InputError for bytes that begin as no image that is read, saying what they are. */
export function requireImage(bytes: Uint8Array): void {
  if (imageFormat(bytes) === undefined) formatOf(bytes);
}

/** The format of an image that is read, by its first bytes; undefined for anything else. */
export function imageFormat(bytes: Uint8Array): string | undefined {
  if (isBmp(bytes)) return "BMP";
  return isNetpbm(bytes) ? "PBM, PGM or PPM" : sharpFormat(bytes);
}

const isBmp = (bytes: Uint8Array): boolean => bytes[0] === 0x42 && bytes[1] === 0x4d;

const sharpFormat = (bytes: Uint8Array): string | undefined =>
  formats.find(([start]) =>
    Array.from(start).every((letter, i) => letter === "?" || letter.charCodeAt(0) === bytes[i]),
  )?.[1];

function formatOf(bytes: Uint8Array): string {
  if (bytes.length === 0) throw new InputError("expected an image, found an empty file");
  const known = sharpFormat(bytes);
  if (known !== undefined) return known;
  const mistaken = mistakenFile(bytes);
  if (mistaken) throw new InputError(`expected an image, found ${mistaken.found}; ${mistaken.remedy}`);
  const found = Array.from(bytes.subarray(0, 4), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  throw new InputError(
    `expected a JPEG, PNG, WebP, GIF, TIFF, AVIF, BMP, PBM, PGM or PPM image, found a file that starts with ${found}`,
  );
}

/** Each ink takes its share of what black leaves: 255 − K − C · (255 − K) / 255, rounded as Pillow does. */
function rgbOfCmyk(inks: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((inks.length / 4) * 3);
  for (let from = 0, to = 0; from < inks.length; from += 4) {
    const light = 255 - inks[from + 3]!;
    for (let ink = 0; ink < 3; ink++, to++) {
      const product = inks[from + ink]! * light + 128;
      rgb[to] = Math.max(0, light - ((product + (product >> 8)) >> 8)); // a division by 255, exactly rounded
    }
  }
  return rgb;
}
