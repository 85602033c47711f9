/** What the first bytes of an image file say without decoding it: whether its format loses detail, and a PNG's size. */

/** Bytes that are read: enough to tell an image from what people take for one. */
export const headLength = 64;
/** Of a PNG up to its size. */
const PNG_HEAD = 24;

export interface ImageHead {
  readonly isLossy: boolean;
  /** Known here for PNG only. */
  readonly size?: { readonly height: number; readonly width: number };
}

/** Files are not always what they are called: ImageNet has a PNG named JPEG. */
export function imageHead(bytes: Uint8Array): ImageHead {
  const text = String.fromCharCode(...bytes.subarray(0, headLength));
  if (text.startsWith("\xff\xd8\xff")) return { isLossy: true };
  // A WebP keeps every bit only in the form VP8L; the extended form, VP8X, may hold either.
  if (text.startsWith("RIFF") && text.slice(8, 12) === "WEBP") return { isLossy: text.slice(12, 16) !== "VP8L" };
  if (text.startsWith("ftypavi", 4)) return { isLossy: true };
  if (!text.startsWith("\x89PNG\r\n\x1a\n") || bytes.length < PNG_HEAD) return { isLossy: false };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return { isLossy: false, size: { width: view.getUint32(16), height: view.getUint32(20) } };
}
