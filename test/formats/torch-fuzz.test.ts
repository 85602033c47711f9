/** Small files of weights with one byte changed, or cut off: a value or an InputError comes out, soon, and nothing else. */
import { existsSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zipSync } from "fflate";
import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { float32, int32, type NDArray } from "../../src/array/ndarray.ts";
import { uniforms } from "../../src/array/random.ts";
import { bytesInMemory } from "../../src/formats/byte-source.ts";
import { kindOfFile } from "../../src/formats/kind-of-file.ts";
import { encodeNpy } from "../../src/formats/npy.ts";
import { encodeNpz, openNpz } from "../../src/formats/npz.ts";
import { encodeTorch } from "../../src/formats/torch/encode-torch.ts";
import { openTorch } from "../../src/formats/torch/open-torch.ts";
import { factsPickle } from "./torch-facts.ts";
import { torchZip } from "./torch-pickles.ts";

const seed = 10;
const changes = 250;
const cuts = 40;
const longestMs = 1000;
const mostMemory = 50e6;

const golden = (name: string) =>
  new Uint8Array(readFileSync(join(import.meta.dirname, `../golden/10_ckpt_${name}.pt`)));
const arrays = new Map<string, NDArray>([
  ["a", float32([1, 2, 3, 4, 5, 6], [2, 3])],
  ["b", int32([7])],
]);
const joined = (chunks: Iterable<Uint8Array>) => new Uint8Array(Buffer.concat([...chunks]));

const files: Readonly<Record<string, Uint8Array>> = {
  views: golden("half_bf16_views"),
  "views, legacy": golden("half_bf16_views_legacy"),
  legacy: golden("legacy"),
  "malicious, legacy": golden("malicious_legacy"),
  "malicious eval": golden("malicious_eval"),
  "malicious, bare": golden("malicious_bare"),
  "our own": joined(encodeTorch(arrays)),
  "values of all kinds": torchZip(factsPickle, { 0: new Uint8Array(24), 1: new Uint8Array(3) }),
  deflated: zipSync(
    { "x/data.pkl": factsPickle, "x/data/0": new Uint8Array(24), "x/data/1": new Uint8Array(3) },
    { level: 9 },
  ),
  npz: joined(encodeNpz(arrays)),
  "npz, deflated": zipSync(
    { "a.npy": encodeNpy(arrays.get("a")!), "b.npy": encodeNpy(arrays.get("b")!) },
    { level: 9 },
  ),
};

/** Everything a caller can do with a file. */
async function readAll(bytes: Uint8Array, npz: boolean): Promise<void> {
  const source = bytesInMemory(bytes, "changed");
  await kindOfFile(source).catch((error: unknown) => {
    if (!(error instanceof InputError)) throw error;
  });
  const file = npz ? await openNpz(source) : await openTorch(source);
  for (const tensor of file.tensors.values()) await tensor.read();
  if ("facts" in file) {
    const torch = file as Awaited<ReturnType<typeof openTorch>>;
    JSON.stringify(torch.facts);
    for (const name of torch.groups) await torch.entry(name);
  }
}

/** `read` or `refused`; fails the test for any other error, much time or much memory. */
async function outcomeOf(bytes: Uint8Array, npz: boolean, what: string): Promise<"read" | "refused"> {
  const memory = () => process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed;
  const [before, start] = [memory(), performance.now()];
  const error = await readAll(bytes, npz).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(performance.now() - start, `${what}: milliseconds`).toBeLessThan(longestMs);
  expect(memory() - before, `${what}: bytes of memory`).toBeLessThan(mostMemory);
  if (error === undefined) return "read";
  expect(error instanceof InputError ? "InputError" : `${what}: ${(error as Error).stack}`).toBe("InputError");
  return "refused";
}

describe.each(Object.entries(files))("%s", (name, original) => {
  const npz = name.startsWith("npz");
  const draws = (purpose: string, length: number) =>
    uniforms({ seed, purpose: `${name} ${purpose}`, step: 0, index: 0 }, length);

  test("with one byte changed", { timeout: 120_000 }, async () => {
    const [places, values] = [draws("places", changes), draws("values", changes)];
    const outcomes = new Set<string>();
    for (let k = 0; k < changes; k++) {
      // Half of the changes go to the first and last parts, where most of a file's structure stands.
      const span = k % 2 === 0 ? original.length : Math.min(1500, original.length);
      const at = Math.floor(places[k]! * span);
      const place = k % 4 === 3 ? original.length - 1 - at : at;
      const bytes = original.slice();
      bytes[place] = bytes[place]! ^ (1 + Math.floor(values[k]! * 255));
      outcomes.add(await outcomeOf(bytes, npz, `byte ${place} ${original[place]} → ${bytes[place]}`));
    }
    expect(outcomes.has("refused")).toBe(true);
    if (!name.startsWith("malicious")) expect(outcomes.has("read")).toBe(true);
    expect(existsSync(join(tmpdir(), "pwned_by_golden_pickle"))).toBe(false);
  });

  test("cut off", { timeout: 120_000 }, async () => {
    const lengths = Array.from(draws("lengths", cuts), (draw) => Math.floor(draw * original.length));
    for (const length of [0, 1, original.length - 1, ...lengths]) {
      expect(await outcomeOf(original.subarray(0, length), npz, `the first ${length} bytes`)).toBe("refused");
    }
  });
});

test("unchanged files are read", async () => {
  const good = Object.entries(files).filter(([name]) => !name.startsWith("malicious"));
  for (const [name, bytes] of good) expect(await outcomeOf(bytes, name.startsWith("npz"), name), name).toBe("read");
});
