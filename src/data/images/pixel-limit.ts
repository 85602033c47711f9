/** How many pixels an image may have: a small file may hold one that fills the memory. */
import { InputError } from "../../array/input-error.ts";

/** Pillow refuses larger images too. */
const mostPixels = 178_956_970;

/** @throws InputError for an image of more pixels. */
export function requirePixels(width: number, height: number): void {
  if (width * height <= mostPixels) return;
  throw new InputError(`expected at most ${mostPixels} pixels, found ${width} × ${height}; make it smaller first`);
}
