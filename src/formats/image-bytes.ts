/** Images of models as bytes, as grids and as PNG files. N images, C channels, H × W pixels. */

import { encode } from "fast-png";
import { NDArray, sizeOf } from "../array/ndarray.ts";

/**
 * clamp(127.5 x + 128, 0, 255) in float32, to be cut to an integer by the typed array that it goes into, as PyTorch
 * samplers write images. NaN becomes 0.
 */
export function byteOf(x: number): number {
  return Math.min(255, Math.max(0, Math.fround(Math.fround(127.5 * x) + 128)));
}

/**
 * Images [N, 1 or 3, H, W], about [−1, 1], as bytes [N, H, W, 3]; gray becomes three equal channels.
 * @throws RangeError for another shape.
 */
export function imageBytes(images: NDArray<"float32">): NDArray<"uint8"> {
  const [count = 0, channels = 0, height = 0, width = 0] = images.shape;
  if (images.shape.length !== 4 || (channels !== 1 && channels !== 3)) {
    throw new RangeError(`image bytes: expected images [N, 1 or 3, H, W], got [${images.shape}]`);
  }
  const pixels = height * width;
  const bytes = new Uint8Array(count * pixels * 3);
  const { data } = images;
  for (let n = 0, to = 0; n < count; n++) {
    for (let pixel = 0; pixel < pixels; pixel++) {
      for (let c = 0; c < 3; c++, to++) {
        bytes[to] = byteOf(data[(n * channels + (channels === 1 ? 0 : c)) * pixels + pixel]!);
      }
    }
  }
  return new NDArray("uint8", [count, height, width, 3], bytes);
}

/** Gray bytes [N, H, W] or [N, H, W, 1] with three equal channels [N, H, W, 3]. @throws RangeError for other shapes. */
export function grayToRgb(gray: NDArray<"uint8">): NDArray<"uint8"> {
  const [count = 0, height = 0, width = 0, channels = 1] = gray.shape;
  if (gray.shape.length < 3 || gray.shape.length > 4 || channels !== 1) {
    throw new RangeError(`gray images: expected [N, H, W] or [N, H, W, 1], got [${gray.shape}]`);
  }
  const rgb = new Uint8Array(sizeOf(gray.shape) * 3);
  gray.data.forEach((value, at) => {
    rgb.fill(value, 3 * at, 3 * at + 3);
  });
  return new NDArray("uint8", [count, height, width, 3], rgb);
}

/** How a grid looks. */
interface GridOptions {
  /** Screen pixels per image pixel, in both directions; default 1. */
  readonly scale?: number;
  /** White screen pixels between images; default 2. */
  readonly gap?: number;
}

const white = 255;

/**
 * Sets images in [-1, 1] in rows of `columns`: [N, C, H, W] with C = 1 or 3 → gray [H', W'] or RGB [H', W', 3].
 * Places without an image stay white.
 * @throws RangeError for another shape, no image, or a count that is not a positive integer.
 */
export function imageGrid(images: NDArray<"float32">, columns: number, options: GridOptions = {}): NDArray<"uint8"> {
  const { scale = 1, gap = 2 } = options;
  const [count = 0, channels = 0, height = 0, width = 0] = images.shape;
  if (images.shape.length !== 4 || (channels !== 1 && channels !== 3) || images.size === 0) {
    throw new RangeError(`image grid: expected images [N, 1 or 3, H, W], got [${images.shape}]`);
  }
  if (![columns, scale, gap + 1].every((value) => Number.isInteger(value) && value > 0)) {
    throw new RangeError(
      `image grid: columns ${columns}, scale ${scale} and gap ${gap} must be positive integers (gap may be 0)`,
    );
  }
  const across = Math.min(columns, count);
  const gridHeight = Math.ceil(count / across) * (height * scale + gap) - gap;
  const gridWidth = across * (width * scale + gap) - gap;
  const pixels = new Uint8Array(gridHeight * gridWidth * channels).fill(white);
  for (let n = 0; n < count; n++) {
    const top = Math.floor(n / across) * (height * scale + gap);
    const left = (n % across) * (width * scale + gap);
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < height * scale; y++) {
        const source = ((n * channels + c) * height + Math.floor(y / scale)) * width;
        const target = (top + y) * gridWidth + left;
        for (let x = 0; x < width * scale; x++) {
          pixels[(target + x) * channels + c] = byteOf(images.data[source + Math.floor(x / scale)]!);
        }
      }
    }
  }
  return new NDArray("uint8", channels === 1 ? [gridHeight, gridWidth] : [gridHeight, gridWidth, channels], pixels);
}

/**
 * A PNG file of gray [H, W] or RGB [H, W, 3] pixels.
 * @throws RangeError for any other shape.
 */
export function encodePng(pixels: NDArray<"uint8">): Uint8Array {
  const [height = 0, width = 0, channels = 1] = pixels.shape;
  const rank = pixels.shape.length;
  if (!(rank === 2 || (rank === 3 && channels === 3)) || height < 1 || width < 1) {
    throw new RangeError(`encode PNG: expected pixels [H, W] or [H, W, 3], got [${pixels.shape}]`);
  }
  return encode({ width, height, data: pixels.data, depth: 8, channels });
}
