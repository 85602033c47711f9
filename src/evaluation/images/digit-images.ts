/** The packaged digits, and others of their kind, as images: gray as three equal channels. */
import type { NDArray } from "../../array/ndarray.ts";
import { type LabeledImages, loadDigits, type Split } from "../../data/digits.ts";
import { checkedRange, type ImageSet } from "../../data/images/image-set.ts";
import { grayToRgb } from "../../formats/image-bytes.ts";

const names: { readonly [K in keyof Split]: string } = { train: "training digits", heldOut: "held-out digits" };

/** The 8,000 digits that models and the classifier learn from, or the 2,000 that they never see. */
export const digitImages = (split: keyof Split): ImageSet => labeledImages(names[split], loadDigits()[split]);

/** Gray images [N, H, W] with their classes as an image set. */
export function labeledImages(name: string, { images, labels }: LabeledImages): ImageSet {
  const [count, height, width] = images.shape as readonly [number, number, number];
  return {
    name,
    count,
    height,
    width,
    isLossy: false,
    labels: labels.data,
    async read(first, rows): Promise<NDArray<"uint8">> {
      checkedRange(first, rows, count);
      return grayToRgb(images.rows(first, first + rows));
    },
  };
}
