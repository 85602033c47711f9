/** Images of models as bytes, and all images with three channels. N images, C channels, H × W pixels. */
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
