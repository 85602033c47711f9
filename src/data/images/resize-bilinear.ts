/**
 * Bilinear resizing of the networks that judge images, without antialiasing: an output pixel is a mix of the four around
 * its place. Each step is rounded to float32. Two conventions of where that place is: TensorFlow 1's and PyTorch's.
 */
import { type NDArray, zeros } from "../../array/ndarray.ts";

/** Where an output pixel lies between two input pixels. */
interface Neighbours {
  readonly lower: number;
  readonly upper: number;
  /** Share of the upper one. */
  readonly share: number;
}

/**
 * `corners`: pixel i of the result lies at i · from / to, TensorFlow 1's `ResizeBilinear` with neither `align_corners` nor
 * `half_pixel_centers`, as in the published graph. `centres`: at (i + ½) · from / to − ½, PyTorch's `interpolate`.
 */
export type PixelPlace = "corners" | "centres";

const f = Math.fround;

/** PyTorch's place is rounded once: multiplied and subtracted in one step. */
function neighbours(from: number, to: number, place: PixelPlace): Neighbours[] {
  const scale = f(from / to);
  return Array.from({ length: to }, (_, i) => {
    const at = place === "corners" ? f(i * scale) : Math.max(0, f(scale * (i + 0.5) - 0.5));
    const lower = Math.min(Math.floor(at), from - 1);
    return { lower, upper: Math.min(lower + 1, from - 1), share: f(at - lower) };
  });
}

/** An image [H, W, C] as planes [C, height, width], in the unit of the image. */
export function resizeBilinear(
  image: NDArray<"uint8"> | NDArray<"float32">,
  width: number,
  height: number,
  place: PixelPlace,
): NDArray<"float32"> {
  const [h, w, channels] = image.shape as readonly [number, number, number];
  const stretched = new Float32Array(channels * h * width); // [C, H, width]
  for (const [x, { lower, upper, share }] of neighbours(w, width, place).entries()) {
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < h; y++) {
        const row = y * w * channels + c;
        const [left, right] = [image.data[row + lower * channels]!, image.data[row + upper * channels]!];
        stretched[(c * h + y) * width + x] = mix(left, right, share);
      }
    }
  }
  const result = zeros("float32", [channels, height, width]);
  for (const [y, { lower, upper, share }] of neighbours(h, height, place).entries()) {
    for (let c = 0; c < channels; c++) {
      const [above, below] = [(c * h + lower) * width, (c * h + upper) * width];
      const to = (c * height + y) * width;
      for (let x = 0; x < width; x++) result.data[to + x] = mix(stretched[above + x]!, stretched[below + x]!, share);
    }
  }
  return result;
}

const mix = (a: number, b: number, share: number): number => f(a + f(f(b - a) * share));
