import { describe, expect, test } from "vitest";
import { fillWords, maskRounds, type PhiloxStream } from "../../src/array/philox.ts";

/** Lines `philox4x32` of `tests/kat_vectors` in DEShawResearch/random123: counter[4], key[2], output[4]. */
const tenRounds = [
  "00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8",
  "ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd",
  "243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1",
];

const sevenRounds = [
  "00000000 00000000 00000000 00000000 00000000 00000000 5f6fb709 0d893f64 4f121f81 4f730a48",
  "ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 5207ddc2 45165e59 4d8ee751 8c52f662",
  "243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 4dfccaba 190a87f0 c47362ba b6b5242a",
];

const knownAnswers = [
  ...tenRounds.map((line) => ({ rounds: 10, line })),
  ...sevenRounds.map((line) => ({ rounds: maskRounds, line })),
];

function words(stream: PhiloxStream, firstBlock: number, length: number, rounds?: number): number[] {
  const target = new Uint32Array(length);
  fillWords(target, stream, firstBlock, rounds);
  return [...target];
}

describe("philox4x32", () => {
  test.each(knownAnswers)("gives the published answer of $rounds rounds for $line", ({ rounds, line }) => {
    const value = line.split(" ").map((word) => Number.parseInt(word, 16));
    const stream: PhiloxStream = { counter: [value[1]!, value[2]!, value[3]!], key: [value[4]!, value[5]!] };
    expect(words(stream, value[0]!, 4, rounds)).toEqual(value.slice(6));
  });

  test("numbers its blocks, so that any piece can be computed alone", () => {
    const stream: PhiloxStream = { key: [1, 2], counter: [3, 4, 5] };
    expect(words(stream, 7, 8)).toEqual(words(stream, 5, 16).slice(8));
  });

  test("cuts a last block that does not fit", () => {
    const stream: PhiloxStream = { key: [1, 2], counter: [3, 4, 5] };
    expect(words(stream, 0, 6)).toEqual(words(stream, 0, 8).slice(0, 6));
  });

  test("refuses to wrap around after 2^32 blocks", () => {
    const stream: PhiloxStream = { key: [0, 0], counter: [0, 0, 0] };
    expect(() => words(stream, 2 ** 32 - 1, 5)).toThrow(RangeError);
  });
});
