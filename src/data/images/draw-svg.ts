/** An SVG drawing as a PNG file, for places that cannot show SVG. */
import { InputError } from "../../array/input-error.ts";

/** As the pages of reports have it. */
const background = "#fcfbf8";

/**
 * The drawing, `width` pixels across with a margin around it. Variables of a style sheet, which the renderer does not know,
 * become the fallbacks that the drawing names.
 * @throws InputError for text that is not SVG.
 */
export async function drawSvg(svg: string, width: number): Promise<Uint8Array> {
  const plain = svg.replaceAll(/var\(--[\w-]+,\s*([^()]+)\)/g, "$1");
  const { default: sharp } = await import("sharp"); // native code, loaded when it is needed
  const bytes = new TextEncoder().encode(plain);
  try {
    const { width: own } = await sharp(bytes).metadata();
    const margin = Math.round(width / 32);
    const inner = width - 2 * margin;
    const drawn = sharp(bytes, { density: Math.min(2400, (72 * inner) / own) }).resize({ width: inner });
    const all = { top: margin, bottom: margin, left: margin, right: margin, background };
    return await drawn.flatten({ background }).extend(all).png().toBuffer();
  } catch (error) {
    const reason = (error as Error).message.trim().replaceAll(/\s+/g, " ");
    throw new InputError(`expected an SVG drawing, found something else (${reason})`);
  }
}
