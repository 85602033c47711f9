/** Pickles written by hand for tests, instruction by instruction, and torch's two kinds of file around them. */
import { crc32 } from "../../src/formats/zip/crc32.ts";
import { ZipWriter } from "../../src/formats/zip/zip-writer.ts";

/** Bytes of one or more instructions. */
export type Code = readonly number[];

const utf8 = (text: string) => [...new TextEncoder().encode(text)];
const u32 = (value: number) => [...new Uint8Array(Uint32Array.of(value).buffer)];

export const int = (value: number): Code => [0x4a, ...u32(value)];
export const text = (value: string): Code => {
  const bytes = utf8(value);
  return [0x58, ...u32(bytes.length), ...bytes];
};
export const none: Code = [0x4e];
export const global = (module: string, name: string): Code => [0x63, ...utf8(`${module}\n${name}\n`)];
export const tuple = (...items: Code[]): Code => [0x28, ...items.flat(), 0x74];
export const list = (...items: Code[]): Code => [0x5d, 0x28, ...items.flat(), 0x65];
export const dict = (...items: [string, Code][]): Code => [
  0x7d,
  0x28,
  ...items.flatMap(([key, value]) => [...text(key), ...value]),
  0x75,
];
export const call = (callable: Code, ...args: Code[]): Code => [...callable, ...tuple(...args), 0x52];
export const pickle = (...code: Code[]): Uint8Array => Uint8Array.from([0x80, 2, ...code.flat(), 0x2e]);

/** An object of a class, made from its arguments. */
export const object = (module: string, name: string, ...args: Code[]): Code => [
  ...global(module, name),
  ...tuple(...args),
  0x81,
];

/** The bytes of a storage of the floats 0 to 5. */
export const six = new Uint8Array(Float32Array.of(0, 1, 2, 3, 4, 5).buffer);

/** A reference to a storage. */
export const storage = (key: string, length: number, type = "FloatStorage", ...view: Code[]): Code => [
  ...tuple(text("storage"), global("torch", type), text(key), text("cpu"), int(length), ...view),
  0x51,
];

/** A tensor, as `_rebuild_tensor_v2` is given it. */
export const tensor = (from: Code, offset: number, shape: readonly number[], strides: readonly number[]): Code =>
  call(
    global("torch._utils", "_rebuild_tensor_v2"),
    from,
    int(offset),
    tuple(...shape.map(int)),
    tuple(...strides.map(int)),
    [0x89],
    call(global("collections", "OrderedDict")),
  );

/** Torch's zip file around a pickle. */
export function torchZip(
  data: Uint8Array,
  storages: Record<string, Uint8Array> = {},
  byteorder = "little",
): Uint8Array {
  const zip = new ZipWriter();
  const entries: [string, Uint8Array][] = [
    ["model/data.pkl", data],
    ["model/byteorder", new TextEncoder().encode(byteorder)],
    ...Object.entries(storages).map(([key, bytes]): [string, Uint8Array] => [`model/data/${key}`, bytes]),
  ];
  const chunks = entries.flatMap(([name, bytes]) => [
    zip.header({ name, byteLength: bytes.length, crc32: crc32(bytes) }),
    bytes,
  ]);
  return new Uint8Array(Buffer.concat([...chunks, zip.end()]));
}

/** Torch's old file around a pickle; each storage with its number of elements. */
export function legacyFile(
  data: Uint8Array,
  storages: readonly { readonly key: string; readonly count: number; readonly bytes: Uint8Array }[],
  littleEndian = true,
): Uint8Array {
  const magic = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
  const counted = storages.flatMap(({ count, bytes }) => [
    new Uint8Array(BigInt64Array.of(BigInt(count)).buffer),
    bytes,
  ]);
  return new Uint8Array(
    Buffer.concat([
      pickle(magic),
      pickle(int(1001)),
      pickle(dict(["little_endian", [littleEndian ? 0x88 : 0x89]])),
      data,
      pickle(list(...storages.map(({ key }) => text(key)))),
      ...counted,
    ]),
  );
}
