/** Files of weights, images and their parts that are changed at random, and what must come out: values or an InputError, soon. */
import { existsSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unzipSync, zipSync } from "fflate";
import { InputError } from "../../src/array/input-error.ts";
import { float32, int32, NDArray } from "../../src/array/ndarray.ts";
import { uniforms } from "../../src/array/random.ts";
import { kindOfFile } from "../../src/formats/file-kind.ts";
import { encodeNpy } from "../../src/formats/npy.ts";
import { encodeNpz, openNpz } from "../../src/formats/npz.ts";
import { encodeSafetensors, openSafetensors } from "../../src/formats/safetensors.ts";
import { encodeTorch } from "../../src/formats/torch/encode-torch.ts";
import { openTorch } from "../../src/formats/torch/open-torch.ts";
import { bytesInMemory } from "../../src/formats/weight-file.ts";
import { entriesPickle } from "./torch-entries.ts";
import {
  type Code,
  call,
  dict,
  global,
  int,
  legacyFile,
  list,
  none,
  object,
  pickle,
  six,
  storage,
  tensor,
  text,
  torchZip,
  tuple,
} from "./torch-pickles.ts";

/** A part of a file that is changed: the whole of it, or what stands in a container whose checksums stay right. */
export interface Material {
  readonly kind: "torch" | "npz" | "safetensors";
  readonly part: Uint8Array;
  /** The file around the part. */
  readonly file: (part: Uint8Array) => Uint8Array;
  /** Whether it is refused as it is. */
  readonly isHostile?: boolean;
}

const bytesOf = (folder: string, name: string) =>
  new Uint8Array(readFileSync(join(import.meta.dirname, "..", folder, name)));
const golden = (name: string) => bytesOf("golden", `10_ckpt_${name}.pt`);
const joined = (chunks: Iterable<Uint8Array>) => new Uint8Array(Buffer.concat([...chunks]));
const arrays = new Map<string, NDArray>([
  ["a", float32([1, 2, 3, 4, 5, 6], [2, 3])],
  ["b", int32([7])],
  [
    "c",
    new NDArray(
      "uint8",
      [4, 2, 2, 3],
      new Uint8Array(48).map((_, k) => 5 * k),
    ),
  ],
]);

const w = tensor(storage("0", 6), 0, [2, 3], [3, 1]);
const line = (opcode: string, content: string): Code => [...new TextEncoder().encode(`${opcode}${content}\n`)];

/** Classes that are not known, in every way in which a pickle can make, fill and keep their objects. */
const placeholders = dict(
  ["model", dict(["w", w], ["sparse", call(global("torch._utils", "_rebuild_sparse_tensor"), tuple(w, w))])],
  ["ema", list(dict(["w", call(global("torch._utils", "_rebuild_parameter"), w, [0x88], dict())]))],
  ["shadow_params", list(w, w)],
  ["version", object("torch.torch_version", "TorchVersion", text("2.6.0"))],
  ["date", call(global("datetime", "datetime"), [0x43, 4, 7, 234, 1, 2])],
  ["dict", [...object("easydict", "EasyDict"), 0x28, ...text("lr"), ...int(1), 0x75]],
  ["list", [...object("mine", "Losses"), 0x71, 5, 0x28, ...int(1), 0x68, 5, 0x65]],
  ["set", [...object("mine", "Names"), 0x28, ...int(1), 0x90]],
  ["state", [...object("train", "Settings"), ...dict(["steps", int(7)]), 0x62]],
  ["named", [...global("lightning", "Callback"), ...tuple(int(1)), ...dict(["every", int(2)]), 0x92]],
  ["old", [0x28, ...global("train", "Old"), ...int(4), 0x6f]],
  ["inst", [0x28, ...int(4), 0x69, ...new TextEncoder().encode("train\nOld\n")]],
  ["member", call(global("builtins", "getattr"), global("train", "Mode"), text("FAST"))],
  ["partial", call(global("functools", "partial"), global("os", "getcwd"))],
  ["extension", [0x83, 1, 2]],
  ["id", [...text("what"), 0x51]],
  ["made", call(global("copy_reg", "_reconstructor"), global("train", "Old"), global("__builtin__", "object"), none)],
  ["counter", call(global("collections", "Counter"), dict(["a", int(2)]))],
  [
    "derived",
    call(
      global("torch._tensor", "_rebuild_from_type_v2"),
      global("torch._utils", "_rebuild_parameter"),
      none,
      tuple(w, [0x88], none),
      dict(),
    ),
  ],
  ["path", call(global("pathlib", "PosixPath"), text("/"), text("a"))],
  ["stack", [...text("train"), ...text("Inner.Deep"), 0x93]],
  [
    "lines",
    list(line("I", "12"), line("L", "-5L"), line("F", "0.5"), line("S", "'x'"), line("V", "y"), line("P", "id")),
  ],
);
const placeholderPickle = pickle(placeholders);
const storages = { 0: six, 1: Uint8Array.of(1, 2, 3) };

/** A file as it is. */
const whole = (kind: Material["kind"], part: Uint8Array, isHostile = false): Material => ({
  ...{ kind, part, isHostile },
  file: (changed) => changed,
});

/** The pickle of a file of torch, in a zip file with right checksums. */
function inside(file: Uint8Array): Material {
  const entries = Object.entries(unzipSync(file));
  const part = entries.find(([name]) => name.endsWith("data.pkl"))![1];
  const stored = entries.flatMap(([name, bytes]) => {
    const key = /\/data\/([^/]+)$/.exec(name)?.[1];
    return key === undefined ? [] : [[key, bytes.slice(0, 40_000)] as const];
  });
  return { kind: "torch", part, file: (changed) => torchZip(changed, Object.fromEntries(stored)) };
}

export const materials: Readonly<Record<string, Material>> = {
  views: whole("torch", golden("half_bf16_views")),
  "views, legacy": whole("torch", golden("half_bf16_views_legacy")),
  legacy: whole("torch", golden("legacy")),
  "malicious, legacy": whole("torch", golden("malicious_legacy"), true),
  "malicious eval": whole("torch", golden("malicious_eval"), true),
  "malicious, bare": whole("torch", golden("malicious_bare"), true),
  "our own": whole("torch", joined(encodeTorch(arrays))),
  "values of all kinds": whole("torch", torchZip(entriesPickle, storages)),
  deflated: whole(
    "torch",
    zipSync({ "x/data.pkl": entriesPickle, "x/data/0": storages[0], "x/data/1": storages[1] }, { level: 9 }),
  ),
  "pickle of all kinds": { kind: "torch", part: entriesPickle, file: (part) => torchZip(part, storages) },
  "pickle of placeholders": { kind: "torch", part: placeholderPickle, file: (part) => torchZip(part, storages) },
  "placeholders, legacy": whole("torch", legacyFile(placeholderPickle, [{ key: "0", count: 6, bytes: six }])),
  "pickle of a hostile file": { ...inside(golden("malicious_eval")), isHostile: true },
  "pickle of a scheduler": inside(bytesOf("faults", "multistep-lr.pt")),
  "pickle of a tensor with an attribute": inside(bytesOf("faults", "tensor-with-attribute.pt")),
  "pickle of a version and a date": inside(bytesOf("faults", "version-and-date.pt")),
  "pickle of ema-pytorch": inside(bytesOf("faults", "ema-pytorch.pt")),
  npz: whole("npz", joined(encodeNpz(arrays))),
  "npz, deflated": whole(
    "npz",
    zipSync(
      {
        "a.npy": encodeNpy(arrays.get("a")!),
        "b.npy": encodeNpy(arrays.get("b")!),
        "c.npy": encodeNpy(arrays.get("c")!),
      },
      { level: 9 },
    ),
  ),
  "array in npz": { kind: "npz", part: encodeNpy(arrays.get("c")!), file: (part) => zipSync({ "c.npy": part }) },
  "texts in npz": {
    kind: "npz",
    part: unzipSync(bytesOf("faults", "names-beside.npz"))["names.npy"]!,
    file: (part) => zipSync({ "names.npy": part }),
  },
  safetensors: whole("safetensors", joined(encodeSafetensors(arrays, { note: "x" }))),
};

/** Everything a caller can do with a file. */
async function readAll(bytes: Uint8Array, kind: Material["kind"]): Promise<void> {
  const source = bytesInMemory(bytes, "changed");
  await kindOfFile(source).catch((error: unknown) => {
    if (!(error instanceof InputError)) throw error;
  });
  if (kind === "torch") {
    const torch = await openTorch(source);
    JSON.stringify(torch.otherEntries);
    const others = [...torch.groups, "model", "ema"]
      .slice(0, 4)
      .flatMap((name) => [openTorch(source, name), torch.entry(name)]);
    for (const { reason } of (await Promise.allSettled(others)).filter((one) => one.status === "rejected")) {
      if (!(reason instanceof InputError)) throw reason;
    }
    for (const tensor of torch.tensors.values()) await tensor.read();
    return;
  }
  const npz = kind === "npz" ? await openNpz(source, 64) : undefined;
  for (const texts of npz?.texts.values() ?? []) await texts.read();
  const file = npz ?? (await openSafetensors(source));
  for (const { readRange } of file.tensors.values()) await readRange?.(0, 1);
  for (const tensor of file.tensors.values()) await tensor.read();
}

/** How a file was read, or the error that is no InputError, and what it took. */
export interface Outcome {
  readonly outcome: "read" | "refused" | Error;
  /** Of the processor, so that a busy machine does not count. */
  readonly ms: number;
  readonly memory: number;
}

export async function outcomeOf(material: Material, part: Uint8Array): Promise<Outcome> {
  const file = material.file(part);
  const memory = () => process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed;
  const [before, start] = [memory(), process.cpuUsage()];
  const outcome = await readAll(file, material.kind).then(
    () => "read" as const,
    (error: unknown) => (error instanceof InputError ? "refused" : (error as Error)),
  );
  const { user, system } = process.cpuUsage(start);
  return { outcome, ms: (user + system) / 1000, memory: memory() - before };
}

/** A part with one to eight changes: bytes, pieces that go, come again, or come from elsewhere; `index` counts them. */
export function changed(name: string, part: Uint8Array, index: number): Uint8Array {
  const draw = uniforms({ seed: 10, purpose: `changed ${name}`, step: 0, index }, 40);
  const ends = Math.min(1500, part.length); // where most of a file's structure stands
  let bytes: Uint8Array = part.slice();
  const count = draw[0]! < 0.6 ? 1 : Math.ceil(draw[1]! * 8);
  for (let k = 0; k < count; k++) {
    const [way, where, value, size] = draw.subarray(2 + 4 * k, 6 + 4 * k) as unknown as [
      number,
      number,
      number,
      number,
    ];
    const near = Math.floor(where * (value < 0.5 ? bytes.length : Math.min(ends, bytes.length)));
    const at = size < 0.25 ? bytes.length - 1 - near : near;
    const length = 1 + Math.floor(size * size * 40);
    if (bytes.length < 2) break;
    if (way < 0.6) bytes[at] = bytes[at]! ^ (1 + Math.floor(value * 255));
    else if (way < 0.7) bytes = spliced(bytes, at, length, new Uint8Array(0));
    else if (way < 0.9)
      bytes = spliced(bytes, at, 0, bytes.subarray(near, near + length)); // again, or from elsewhere
    else
      bytes = spliced(
        bytes,
        at,
        0,
        placeholderPickle.subarray(Math.floor(value * placeholderPickle.length)).subarray(0, length),
      );
  }
  return bytes;
}

const spliced = (bytes: Uint8Array, at: number, gone: number, added: Uint8Array): Uint8Array =>
  Uint8Array.from([...bytes.subarray(0, at), ...added, ...bytes.subarray(at + gone)]);

/** Whether a hostile file was executed. */
export const isExecuted = (): boolean => existsSync(join(tmpdir(), "pwned_by_golden_pickle"));
