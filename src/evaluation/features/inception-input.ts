/** Images as Inception-v3 looks at them: resized to 299 × 299 in one of three ways, all of which papers have called FID. */
import { type NDArray, zeros } from "../../array/ndarray.ts";
import { resizeBilinear, resizeExact } from "../../data/images/resample.ts";
import { inceptionSize } from "../../models/inception/inception.ts";

/** `tf` is that of ADM's evaluator and of TTUR's FID, `clean` that of clean-fid, `torch` that of pytorch-fid. */
export const inceptionResizings = ["tf", "clean", "torch"] as const;
export type InceptionResizing = (typeof inceptionResizings)[number];

/** One image [H, W, 3] → planes [3, 299, 299], about [−1, 1). */
type Resize = (image: NDArray<"uint8">) => NDArray<"float32">;

const size = inceptionSize;

const resizings: { readonly [K in InceptionResizing]: Resize } = {
  tf: (image) => centred(resizeBilinear(image, size, size, "corners")),
  clean: (image) => centred(clipped(resizeExact(image, size, size, "bicubic"))),
  torch: (image) => doubled(resizeBilinear(inUnit(image), size, size, "centres")),
};

/** Writes images [N, H, W, 3] to the first N of x [≥ N, 3, 299, 299]. */
export function writeInceptionInput(images: NDArray<"uint8">, resizing: InceptionResizing, x: NDArray<"float32">) {
  const [n, ...shape] = images.shape as readonly [number, number, number, number];
  const length = 3 * size * size;
  for (let i = 0; i < n; i++) {
    x.data.set(resizings[resizing](images.rows(i, i + 1).reshape(shape)).data, i * length);
  }
}

/** What the bicubic filter puts beyond black and white is cut off, as clean-fid does it. */
function clipped(planes: NDArray<"float32">): NDArray<"float32"> {
  for (let i = 0; i < planes.size; i++) planes.data[i] = Math.min(255, Math.max(0, planes.data[i]!));
  return planes;
}

/** (x − 128) / 128 */
function centred(planes: NDArray<"float32">): NDArray<"float32"> {
  for (let i = 0; i < planes.size; i++) planes.data[i] = Math.fround(planes.data[i]! - 128) / 128;
  return planes;
}

/** 2 x − 1 */
function doubled(planes: NDArray<"float32">): NDArray<"float32"> {
  for (let i = 0; i < planes.size; i++) planes.data[i] = 2 * planes.data[i]! - 1;
  return planes;
}

function inUnit({ shape, data }: NDArray<"uint8">): NDArray<"float32"> {
  const values = zeros("float32", shape);
  for (let i = 0; i < values.size; i++) values.data[i] = data[i]! / 255;
  return values;
}
