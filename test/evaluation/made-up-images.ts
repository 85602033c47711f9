/** Image sets of a few bytes, and networks that see in them what a test wants to know again. */
import { float32, NDArray } from "../../src/array/ndarray.ts";
import type { ImageSet } from "../../src/data/images/image-set.ts";
import type { FeatureNetwork, ImageFeatures } from "../../src/evaluation/features/extract-features.ts";

/** `count` images, 1 × 1 unless `more` says otherwise; all pixels of image i are `byte(i, channel)`. */
export function madeUpImages(
  count: number,
  byte: (image: number, channel: number) => number,
  more: Partial<ImageSet> = {},
): ImageSet {
  const { height = 1, width = 1 } = more;
  const size = 3 * height * width;
  return {
    ...{ name: "made up", count, height, width, isLossy: false },
    read: async (first, rows) =>
      new NDArray(
        "uint8",
        [rows, height, width, 3],
        Uint8Array.from({ length: rows * size }, (_, k) => byte(first + Math.floor(k / size), k % 3)),
      ),
    ...more,
  };
}

type Seen = { readonly [K in keyof ImageFeatures]: readonly number[] };

/** A network that sees in an image what `see` makes of its first pixel. */
export function madeUpNetwork(
  see: (red: number, green: number, blue: number) => Seen,
  more: Partial<Pick<FeatureNetwork, "name" | "settings">> = {},
): FeatureNetwork {
  return {
    ...{ name: "eyes", settings: {} },
    async features({ data, shape }) {
      const n = shape[0]!;
      const seen = Array.from({ length: n }, (_, i) => {
        const [red, green, blue] = data.subarray((i * data.length) / n);
        return see(red!, green!, blue!);
      });
      const stacked = Object.keys(seen[0]!).map((kind) => {
        const rows = seen.map((one) => one[kind as keyof Seen]!);
        return [kind, float32(rows.flat(), [n, rows[0]!.length])] as const;
      });
      return Object.fromEntries(stacked) as unknown as ImageFeatures;
    },
    release: async () => {},
    ...more,
  };
}
