/** Files of torch.save, read without PyTorch: every tensor bit by bit, and every hostile or cut file refused. */
import { existsSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import type { NDArray } from "../../src/array/ndarray.ts";
import { bytesOf } from "../../src/formats/raw-array.ts";
import { openTorch } from "../../src/formats/torch/open-torch.ts";
import { bytesInMemory, type StoredTensor } from "../../src/formats/weight-file.ts";
import { openByteRanges } from "../../src/storage/read.ts";
import { atLeastOne, goldenFolder, loadFixture } from "./fixture.ts";

interface Settings {
  readonly files: Readonly<Record<string, string>>;
  readonly tell_tale: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly opt_param_groups: readonly unknown[];
  readonly opt_state_keys: readonly number[];
  readonly view_strides: Readonly<Record<string, readonly number[]>>;
}

const fixture = loadFixture<Settings, { opt_state_checked_index: number }>("10_ckpt_expected");
const { settings, expected } = fixture;

/** The fixture's tensors of one group, without the group's name. */
function groupOf(group: string): Map<string, NDArray> {
  const names = fixture.names.filter((name) => name.startsWith(`${group}/`));
  return new Map(
    atLeastOne(names, `tensors of ${group}`).map((name) => [name.slice(group.length + 1), fixture.tensor(name)]),
  );
}

const pathOf = (file: string) => join(goldenFolder, `10_ckpt_${file}.pt`);
const open = (file: string, wanted?: "model" | "ema") =>
  openTorch(bytesInMemory(new Uint8Array(readFileSync(pathOf(file))), `${file}.pt`), wanted);

/** Dtype, shape and every bit; NaNs by their bits too. */
async function expectSame(found: ReadonlyMap<string, StoredTensor>, wanted: ReadonlyMap<string, NDArray>) {
  expect([...found.keys()].sort()).toEqual([...wanted.keys()].sort());
  for (const [name, array] of wanted) {
    const tensor = found.get(name)!;
    expect([tensor.name, tensor.dtype, tensor.shape]).toEqual([name, array.dtype, array.shape]);
    const values = await tensor.read();
    expect([values.dtype, values.shape], name).toEqual([array.dtype, array.shape]);
    expect(Buffer.from(bytesOf(values)).equals(bytesOf(array)), name).toBe(true);
  }
}

/** Where a location is given, the bytes there are the tensor's. */
async function expectPlaces(found: ReadonlyMap<string, StoredTensor>) {
  for (const { name, location, read } of found.values()) {
    if (!location) continue;
    const there = await location.source.read(location.offset, location.byteLength);
    expect(Buffer.from(there).equals(bytesOf(await read())), name).toBe(true);
  }
}

const filesOf = (pattern: RegExp) =>
  atLeastOne(
    Object.keys(settings.files).filter((file) => pattern.test(file)),
    `files ${pattern}`,
  );
const tellTale = join(tmpdir(), /^\S+/.exec(settings.tell_tale)![0]);

describe("golden 10: checkpoints", () => {
  test.each(filesOf(/^(plain|legacy)$/))("%s: a state dict", async (file) => {
    const found = await open(file);
    expect([found.weights, found.groups]).toEqual(["raw", []]);
    await expectSame(found.tensors, groupOf("model"));
    await expectPlaces(found.tensors);
    expect([...found.tensors.values()].every(({ location }) => location)).toBe(true);
  });

  test.each(filesOf(/^train/))("%s: the moving average is preferred, the model can be asked for", async (file) => {
    const preferred = await open(file);
    expect([preferred.weights, preferred.groups]).toEqual(["ema", ["model", "ema"]]);
    await expectSame(preferred.tensors, groupOf("ema"));
    await expectSame((await open(file, "ema")).tensors, groupOf("ema"));
    const model = await open(file, "model");
    expect(model.weights).toBe("raw");
    await expectSame(model.tensors, groupOf("model"));
    await expectSame(await model.entry("model"), groupOf("model"));
  });

  test.each(filesOf(/^train/))("%s: arguments and the optimizer", async (file) => {
    const found = await open(file);
    expect(JSON.parse(JSON.stringify(found.otherEntries.args))).toEqual(settings.args);
    const optimizer = JSON.parse(JSON.stringify(found.otherEntries.opt));
    expect(optimizer.param_groups).toEqual(settings.opt_param_groups);
    expect(Object.keys(optimizer.state).map(Number)).toEqual(settings.opt_state_keys);
    const moments = await found.entry("opt");
    expect(moments.size).toBe(3 * settings.opt_state_keys.length);
    const prefix = `state.${expected.opt_state_checked_index}.`;
    await expectSame(
      new Map([...moments].filter(([name]) => name.startsWith(prefix)).map(([name, t]) => [name, t])),
      groupOf("opt"),
    );
  });

  test.each(filesOf(/views/))("%s: element types, views and shared storages", async (file) => {
    const { tensors } = await open(file);
    await expectSame(tensors, groupOf("views"));
    await expectPlaces(tensors);
    const dense = (name: string) => {
      const [shape, strides] = [tensors.get(name)!.shape, settings.view_strides[name]!];
      return (
        shape.includes(0) ||
        shape.every((dim, k) => dim === 1 || strides[k] === shape.slice(k + 1).reduce((a, b) => a * b, 1))
      );
    };
    const views = atLeastOne(Object.keys(settings.view_strides), "views");
    expect(views.filter((name) => tensors.get(name)!.location)).toEqual(views.filter(dense));
    expect(views.some((name) => !dense(name))).toBe(true);
  });

  test.each(filesOf(/^(malicious|truncated)/))("%s is refused, and nothing is executed", async (file) => {
    expect(existsSync(tellTale), `${tellTale} is there before the test; remove it`).toBe(false);
    const source = await openByteRanges(pathOf(file));
    const error = await openTorch(source).catch((thrown: unknown) => thrown);
    await source.close();
    expect(error).toBeInstanceOf(InputError);
    const { message } = error as InputError;
    expect(message).toContain(pathOf(file));
    if (file.startsWith("truncated")) expect(message).toContain("is it cut off?");
    const payload = /REDUCE ([\w.]+)/.exec(settings.files[file]!)?.[1];
    if (payload && !file.endsWith("bare"))
      expect(message).toMatch(new RegExp(`contains (${payload}|__builtin__.eval), .* nothing was executed`));
    if (file.endsWith("bare")) expect(message).toContain("found a bare pickle");
    expect(existsSync(tellTale)).toBe(false);
  });
});
