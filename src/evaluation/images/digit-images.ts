/** The packaged digits as images: 28 × 28, gray as three equal channels. */
import type { NDArray } from "../../array/ndarray.ts";
import { loadDigits, type Split } from "../../data/digits.ts";
import { checkedRange, type ImageSet } from "../../data/images/image-set.ts";
import { grayToRgb } from "../../formats/image-bytes.ts";

const names: { readonly [K in keyof Split]: string } = { train: "training digits", heldOut: "held-out digits" };

/** The 8,000 digits that models and the classifier learn from, or the 2,000 that they never see. */
export function digitImages(split: keyof Split): ImageSet {
  const { images, labels } = loadDigits()[split];
  const [count, height, width] = images.shape as readonly [number, number, number];
  return {
    ...{ name: names[split], count, height, width, isLossy: false },
    labels: labels.data,
    async read(first, rows): Promise<NDArray<"uint8">> {
      checkedRange(first, rows, count);
      return grayToRgb(images.rows(first, first + rows));
    },
  };
}
