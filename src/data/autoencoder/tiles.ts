/** Large images in tiles that overlap by a quarter and are blended there, so that memory does not grow with the image. */
import { NDArray, sizeOf } from "../../array/ndarray.ts";

type Images = NDArray<"float32">; // [N, C, H, W]

/** Sides of a whole tile before and after the function that is computed on it; both divide by 4. */
export interface TileSizes {
  readonly input: number;
  readonly output: number;
}

const STEP = 0.75;

/**
 * `compute` on overlapping tiles of x, put together: diffusers' tiling, number for number. A tile starts every three
 * quarters of its size, and fades in over the quarter that it shares with those above and left of it. Tiles at the
 * right and bottom are as small as what is left.
 */
export async function inTiles(
  x: Images,
  { input, output }: TileSizes,
  compute: (tile: Images) => Promise<Images>,
): Promise<Images> {
  const [height, width] = [x.shape[2]!, x.shape[3]!];
  const step = input * STEP;
  const kept = output * STEP;
  let whole: Images | undefined;
  let above: Images[] = [];
  for (let top = 0, row = 0; top < height; top += step, row++) {
    const tiles: Images[] = [];
    for (let left = 0; left < width; left += step) {
      const tile = await compute(cut(x, { top, left, height: input, width: input }));
      const column = tiles.length;
      if (row > 0) fadeDown(above[column]!, tile, output - kept);
      if (column > 0) fadeRight(tiles[column - 1]!, tile, output - kept);
      tiles.push(tile);
      whole ??= emptyLike(tile, (height / input) * output, (width / input) * output);
      paste(whole, cut(tile, { top: 0, left: 0, height: kept, width: kept }), row * kept, column * kept);
    }
    above = tiles;
  }
  return whole!;
}

function emptyLike({ shape }: Images, height: number, width: number): Images {
  const [n, c] = shape as readonly [number, number];
  return new NDArray("float32", [n, c, height, width], new Float32Array(n * c * height * width));
}

/** The rectangle at (top, left), or the part of it that is inside. */
function cut(x: Images, place: { top: number; left: number; height: number; width: number }): Images {
  const [h, w] = [x.shape[2]!, x.shape[3]!];
  const height = Math.min(place.height, h - place.top);
  const width = Math.min(place.width, w - place.left);
  const part = emptyLike(x, height, width);
  for (let line = 0; line < sizeOf(part.shape) / width; line++) {
    const plane = Math.floor(line / height);
    const start = (plane * h + place.top + (line % height)) * w + place.left;
    part.data.set(x.data.subarray(start, start + width), line * width);
  }
  return part;
}

function paste(whole: Images, part: Images, top: number, left: number): void {
  const [h, w] = [whole.shape[2]!, whole.shape[3]!];
  const [height, width] = [part.shape[2]!, part.shape[3]!];
  for (let line = 0; line < sizeOf(part.shape) / width; line++) {
    const plane = Math.floor(line / height);
    const start = (plane * h + top + (line % height)) * w + left;
    whole.data.set(part.data.subarray(line * width, (line + 1) * width), start);
  }
}

/** Blends the last rows of `above` into the first of `tile`. */
function fadeDown(above: Images, tile: Images, extent: number): void {
  const [n, c, h, w] = tile.shape as readonly [number, number, number, number];
  const aboveHeight = above.shape[2]!;
  const rows = Math.min(aboveHeight, h, extent);
  for (let plane = 0; plane < n * c; plane++) {
    for (let y = 0; y < rows; y++) {
      const from = (plane * aboveHeight + aboveHeight - rows + y) * w;
      const to = (plane * h + y) * w;
      for (let i = 0; i < w; i++) tile.data[to + i] = mix(above.data[from + i]!, tile.data[to + i]!, y / rows);
    }
  }
}

/** Blends the last columns of `left` into the first of `tile`. */
function fadeRight(left: Images, tile: Images, extent: number): void {
  const [n, c, h, w] = tile.shape as readonly [number, number, number, number];
  const leftWidth = left.shape[3]!;
  const columns = Math.min(leftWidth, w, extent);
  for (let line = 0; line < n * c * h; line++) {
    const from = (line + 1) * leftWidth - columns;
    for (let i = 0; i < columns; i++) {
      tile.data[line * w + i] = mix(left.data[from + i]!, tile.data[line * w + i]!, i / columns);
    }
  }
}

const mix = (a: number, b: number, share: number): number => a * (1 - share) + b * share;
