/** Philox4x32: the counter-based integer generator behind every random draw. */

/**
 * One stream of words: a 64-bit key and the upper 96 bits of the counter.
 * The lowest counter word numbers the blocks of four words within the stream.
 */
export interface PhiloxStream {
  /** Two 32-bit key words. */
  readonly key: readonly [number, number];
  /** Counter words 1, 2 and 3. */
  readonly counter: readonly [number, number, number];
}

/** What each key word grows by from round to round. */
export const [weyl0, weyl1] = [0x9e3779b9, 0xbb67ae85] as const;
/** What the counter words 0 and 2 are multiplied by. */
export const [multiplier0, multiplier1] = [0xd2511f53, 0xcd9e8d57] as const;
const low0 = multiplier0 & 0xffff;
const high0 = multiplier0 >>> 16;
const low1 = multiplier1 & 0xffff;
const high1 = multiplier1 >>> 16;
/** What the paper recommends: for every draw of the host. */
const safeRounds = 10;
/** The fewest rounds that pass the tests of BigCrush (Salmon et al. 2011): for masks, where each round takes time. */
export const maskRounds = 7;

/**
 * Fills `words` with blocks `firstBlock`, `firstBlock + 1`, … of `stream`, four words each;
 * a last block that does not fit is cut.
 *
 * Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), section 3.3.
 * The upper half of each 32 × 32-bit product is assembled from 16-bit halves, in integers only.
 *
 * @throws RangeError if a block number would exceed 32 bits.
 */
export function fillWords(
  words: Uint32Array,
  stream: PhiloxStream,
  firstBlock: number,
  rounds: number = safeRounds,
): void {
  const blocks = Math.ceil(words.length / 4);
  if (firstBlock + blocks > 2 ** 32) {
    throw new RangeError(`philox: a stream has 2^32 blocks, asked for block ${firstBlock + blocks - 1}`);
  }
  const [key0, key1] = stream.key;
  const [counter1, counter2, counter3] = stream.counter;
  for (let block = 0; block < blocks; block++) {
    let x0 = (firstBlock + block) | 0;
    let x1 = counter1 | 0;
    let x2 = counter2 | 0;
    let x3 = counter3 | 0;
    let k0 = key0 | 0;
    let k1 = key1 | 0;
    for (let round = 0; round < rounds; round++) {
      const l0 = x0 & 0xffff;
      const h0 = x0 >>> 16;
      const t0 = (Math.imul(h0, low0) + (Math.imul(l0, low0) >>> 16)) | 0;
      const u0 = (Math.imul(l0, high0) + (t0 & 0xffff)) | 0;
      const upper0 = (Math.imul(h0, high0) + (t0 >>> 16) + (u0 >>> 16)) | 0;
      const l2 = x2 & 0xffff;
      const h2 = x2 >>> 16;
      const t1 = (Math.imul(h2, low1) + (Math.imul(l2, low1) >>> 16)) | 0;
      const u1 = (Math.imul(l2, high1) + (t1 & 0xffff)) | 0;
      const upper1 = (Math.imul(h2, high1) + (t1 >>> 16) + (u1 >>> 16)) | 0;
      const lower0 = Math.imul(x0, multiplier0);
      const lower1 = Math.imul(x2, multiplier1);
      x0 = upper1 ^ x1 ^ k0;
      x1 = lower1;
      x2 = upper0 ^ x3 ^ k1;
      x3 = lower0;
      k0 = (k0 + weyl0) | 0;
      k1 = (k1 + weyl1) | 0;
    }
    const at = 4 * block; // writes past the end of a typed array are ignored
    words[at] = x0;
    words[at + 1] = x1;
    words[at + 2] = x2;
    words[at + 3] = x3;
  }
}
