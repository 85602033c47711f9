/** The reference rule of random masks: Philox4x32-7 as it is written in Salmon et al. 2011, in whole numbers of any size. */
import { type ReferenceRules, tabulate } from "./value.ts";

type Words = readonly [bigint, bigint, bigint, bigint];

const low = (x: bigint): bigint => BigInt.asUintN(32, x);
const high = (x: bigint): bigint => x >> 32n;

function philox7(counter: Words, key: readonly [bigint, bigint]): Words {
  let [x0, x1, x2, x3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 7; round++) {
    const [p0, p2] = [0xd2511f53n * x0, 0xcd9e8d57n * x2];
    [x0, x1, x2, x3] = [high(p2) ^ x1 ^ k0, low(p2), high(p0) ^ x3 ^ k1, low(p0)];
    [k0, k1] = [low(k0 + 0x9e3779b9n), low(k1 + 0xbb67ae85n)];
  }
  return [x0, x1, x2, x3];
}

/** Draw number `i` of the row with this key: 16 bits. */
function drawAt(i: number, stream: number, key: readonly [bigint, bigint]): number {
  const block = philox7([BigInt(Math.floor(i / 8)), BigInt(stream), 0n, 0n], key);
  const word = block[Math.floor((i % 8) / 2)]!;
  return Number(i % 2 === 0 ? word % 65536n : word / 65536n);
}

export const masks: ReferenceRules<"bernoulli"> = {
  bernoulli: ([key], { probability, stream, shape }, { sized }) => {
    const sizes = sized(shape);
    const length = sizes.slice(1).reduce((product, size) => product * size, 1);
    let flat = 0;
    const element = ([n]: readonly number[]): number => {
      const words = [key!.data[2 * n!]!, key!.data[2 * n! + 1]!].map((word) => low(BigInt(word))) as [bigint, bigint];
      return Number(drawAt(flat++ % length, stream, words) < probability * 65536);
    };
    return [tabulate(sizes, element)];
  },
};
