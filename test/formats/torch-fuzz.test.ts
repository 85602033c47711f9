/** Files that were changed at random, or cut off: values or an InputError come out, soon, and nothing is executed. */
import { describe, expect, test } from "vitest";
import { uniforms } from "../../src/array/random.ts";
import { changed, isExecuted, type Material, materials, outcomeOf } from "./mutated-files.ts";

const changes = 150;
const cuts = 25;
const longestMs = 1000;
const mostMemory = 50e6;

/** `read` or `refused`; fails the test for any other error, much time or much memory. */
async function outcome(material: Material, part: Uint8Array, what: string): Promise<"read" | "refused"> {
  const { outcome: found, ms, memory } = await outcomeOf(material, part);
  expect(ms, `${what}: milliseconds`).toBeLessThan(longestMs);
  expect(memory, `${what}: bytes of memory`).toBeLessThan(mostMemory);
  if (typeof found === "string") return found;
  throw new Error(`${what}: expected an InputError`, { cause: found });
}

describe.each(Object.entries(materials))("%s", (name, material) => {
  const { part, isHostile = false } = material;

  test("changed at random", { timeout: 120_000 }, async () => {
    const outcomes = new Set<string>();
    for (let k = 0; k < changes; k++) outcomes.add(await outcome(material, changed(name, part, k), `change ${k}`));
    expect(outcomes.has("refused")).toBe(true);
    if (!isHostile) expect(outcomes.has("read")).toBe(true);
    expect(isExecuted()).toBe(false);
  });

  test("cut off", { timeout: 120_000 }, async () => {
    const draws = uniforms({ seed: 10, purpose: `${name} lengths`, step: 0, index: 0 }, cuts);
    for (const length of [0, 1, part.length - 1, ...Array.from(draws, (draw) => Math.floor(draw * part.length))]) {
      expect(await outcome(material, part.subarray(0, length), `the first ${length} bytes`)).toBe("refused");
    }
  });

  test("unchanged", async () => {
    expect(await outcome(material, part, name)).toBe(isHostile ? "refused" : "read");
  });
});
