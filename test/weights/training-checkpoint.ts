/** Training checkpoints as the original scripts save them: state dicts of raw and averaged weights, an optimizer, arguments. */
import { writeFileSync } from "node:fs";
import { type NDArray, sizeOf } from "../../src/array/ndarray.ts";
import {
  type Code,
  dict,
  global,
  int,
  none,
  pickle,
  storage,
  tensor,
  text,
  torchZip,
} from "../formats/torch-pickles.ts";

export type Argument = string | number | boolean | null;

/** Writes `{ model, ema, opt, args: argparse.Namespace(…) }`, with the same weights twice. */
export function plantCheckpoint(
  path: string,
  weights: ReadonlyMap<string, NDArray>,
  args: Readonly<Record<string, Argument>>,
): string {
  const storages: Record<string, Uint8Array> = {};
  const entries = Array.from(weights, ([name, { data, shape }], i): [string, Code] => {
    storages[`${i}`] = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    const strides = shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
    return [name, tensor(storage(`${i}`, data.length), 0, shape, strides)];
  });
  const namespace: Code = [
    ...global("argparse", "Namespace"),
    ...[0x29, 0x81], // made without arguments
    ...dict(...Object.entries(args).map(([name, value]): [string, Code] => [name, coded(value)])),
    0x62, // and given its attributes
  ];
  const state = dict(...entries);
  const root = dict(["model", state], ["ema", state], ["opt", dict(["state", dict()])], ["args", namespace]);
  writeFileSync(path, torchZip(pickle(root), storages));
  return path;
}

function coded(value: Argument): Code {
  if (value === null) return none;
  if (typeof value === "boolean") return [value ? 0x88 : 0x89];
  if (typeof value === "string") return text(value);
  if (Number.isInteger(value)) return int(value);
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return [0x47, ...bytes];
}
