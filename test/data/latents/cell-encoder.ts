/** An encoder that can be followed by hand: averages of cells of pixels, in place of an autoencoder. */
import { float32, type NDArray } from "../../../src/array/ndarray.ts";
import type { LatentEncoder } from "../../../src/data/latents/encoder.ts";

const [channels, factor] = [4, 4];

/** Channel c of the mean is (c + 1) times the average of colour c mod 3 in a cell; the deviation depends on its first pixel. */
export function cellEncoder(changes: Partial<LatentEncoder> = {}): LatentEncoder {
  return {
    channels,
    factor,
    scale: 0.18215,
    shift: 0.25,
    sha256: "cells",
    async encode(images) {
      return { mean: cells(images, mean), std: cells(images, (pixels, c) => 0.1 + 0.01 * c + 0.05 * (pixels[0]! + 1)) };
    },
    async release() {},
    ...changes,
  };
}

const mean = (pixels: readonly number[], c: number): number =>
  ((c + 1) * pixels.reduce((sum, pixel) => sum + pixel, 0)) / pixels.length;

function cells(images: NDArray<"float32">, numberOf: (pixels: readonly number[], c: number) => number) {
  const [n, , size] = images.shape as readonly [number, number, number];
  const side = size / factor;
  const values: number[] = [];
  for (let i = 0; i < n; i++) {
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < side; y++) {
        for (let x = 0; x < side; x++) values.push(numberOf(cellOf(images, i, c % 3, y, x), c));
      }
    }
  }
  return float32(values, [n, channels, side, side]);
}

function cellOf({ data, shape }: NDArray<"float32">, image: number, colour: number, y: number, x: number): number[] {
  const size = shape[2]!;
  return Array.from({ length: factor * factor }, (_, k) => {
    const [row, column] = [y * factor + Math.floor(k / factor), x * factor + (k % factor)];
    return data[((image * 3 + colour) * size + row) * size + column]!;
  });
}
