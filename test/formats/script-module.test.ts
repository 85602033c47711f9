import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openTorch } from "../../src/formats/torch/open-torch.ts";
import { type Code, call, dict, global, int, pickle, storage, tensor, text, torchZip, tuple } from "./torch-pickles.ts";

const source = (bytes: Uint8Array) => ({
  name: "module.pt",
  size: bytes.length,
  read: async (offset: number, length: number) => bytes.slice(offset, offset + length),
});
const numbers = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

/** An object of a class that TorchScript compiled, with its attributes. */
const module = (name: string, ...attributes: [string, Code][]): Code => [
  ...global("__torch__.nested", name),
  ...tuple(),
  0x81,
  ...dict(...attributes),
  0x62,
];
const weight = tensor(storage("0", 2), 0, [2], [1]);

describe("a TorchScript archive", () => {
  it("gives its parameters and buffers by the path of attributes, as torch.jit wrote them", async () => {
    // Made by scripts/script-module-fixture.py: all values count up.
    const bytes = readFileSync(join(import.meta.dirname, "script-module.pt"));
    const { format, tensors, groups, weights } = await openTorch(source(new Uint8Array(bytes)));
    expect({ format, groups, weights }).toEqual({ format: "TorchScript", groups: [], weights: "raw" });
    const shapes = {
      "layers.conv.weight": [3, 2, 1, 1],
      "layers.conv.beta": [3],
      "layers.conv.mean": [3],
      "layers.conv.var": [3],
      "layers.tower.conv.weight": [1, 3, 1, 1],
      "layers.tower.conv.beta": [1],
      "layers.tower.conv.mean": [1],
      "layers.tower.conv.var": [1],
      "layers.tower.conv_1.weight": [2, 1, 1, 3],
      "layers.tower.conv_1.beta": [2],
      "layers.tower.conv_1.mean": [2],
      "layers.tower.conv_1.var": [2],
      "output.weight": [4, 2],
      "output.bias": [4],
    };
    expect(Object.fromEntries(Array.from(tensors, ([name, { shape }]) => [name, shape]))).toEqual(shapes);
    let count = 0;
    for (const name of Object.keys(shapes)) {
      for (const value of (await tensors.get(name)!.read()).data) expect(value, name).toBe(count++);
    }
    expect(count).toBe(45);
  });

  it("is read without its code, whatever that is", async () => {
    const root = module("Net", ["training", [0x89]], ["inner", module("Inner", ["w", weight], ["n", int(3)])]);
    const { tensors } = await openTorch(source(torchZip(pickle(root), { 0: numbers(1, 2) })));
    expect([...tensors.keys()]).toEqual(["inner.w"]);
    expect((await tensors.get("inner.w")!.read()).data).toEqual(Float32Array.of(1, 2));
  });

  it("is refused if it names what is not compiled by TorchScript", async () => {
    const root = module("Net", ["w", weight], ["evil", call(global("os", "system"), text("true"))]);
    await expect(openTorch(source(torchZip(pickle(root), { 0: numbers(1, 2) })))).rejects.toThrow(
      "module.pt: contains os.system, which a weights file has no need of; refused, nothing was executed",
    );
  });

  it("is refused if a module holds itself", async () => {
    // Kept under number 0 before it gets its attributes, and then put among them.
    const root: Code = [...global("__torch__", "Net"), ...tuple(), 0x81, 0x71, 0, ...dict(["me", [0x68, 0]]), 0x62];
    await expect(openTorch(source(torchZip(pickle(root))))).rejects.toThrow(/nested too deeply/);
  });

  it("is refused without weights, and if a moving average is asked of it", async () => {
    const empty = source(torchZip(pickle(module("Net", ["training", [0x89]]))));
    await expect(openTorch(empty)).rejects.toThrow(
      "module.pt: expected a TorchScript module with weights, found one without",
    );
    const full = source(torchZip(pickle(module("Net", ["w", weight])), { 0: numbers(1, 2) }));
    await expect(openTorch(full, "ema")).rejects.toThrow(/found an object of __torch__\.nested\.Net/);
  });
});
