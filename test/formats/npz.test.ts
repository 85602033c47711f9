import { zipSync } from "fflate";
import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { float32, int32, NDArray } from "../../src/array/ndarray.ts";
import { kindOfFile } from "../../src/formats/file-kind.ts";
import { encodeNpy } from "../../src/formats/npy.ts";
import { encodeNpz, openNpz } from "../../src/formats/npz.ts";
import { bytesOf } from "../../src/formats/raw-array.ts";
import { bytesInMemory } from "../../src/formats/weight-file.ts";

const sample = () =>
  new Map<string, NDArray>([
    ["mu", new NDArray("float64", [3], Float64Array.of(1, -2, Number.NaN))],
    ["folder/arr_0", int32([1, 2, 3, 4], [2, 2])],
    ["__proto__", float32([7], [])],
    ["empty", float32([], [0, 2])],
    ["long", float32(Float32Array.from({ length: 50_000 }, (_, k) => k % 7))],
  ]);
const stored = () => new Uint8Array(Buffer.concat([...encodeNpz(sample())]));
const deflated = () =>
  zipSync(
    Object.fromEntries(
      [...sample()].filter(([name]) => name !== "__proto__").map(([name, array]) => [`${name}.npy`, encodeNpy(array)]),
    ),
  );
const open = (bytes: Uint8Array) => openNpz(bytesInMemory(bytes, "some.npz"));

describe("npz", () => {
  test("what is written is read; stored arrays have a location", async () => {
    const { format, tensors } = await open(stored());
    expect([format, [...tensors.keys()]]).toEqual(["npz", [...sample().keys()]]);
    for (const [name, array] of sample()) {
      const { location, read, readRange: _, ...said } = tensors.get(name)!;
      expect(said).toEqual({ name, dtype: array.dtype, shape: array.shape });
      expect(await read()).toEqual(array);
      expect(await location!.source.read(location!.offset, location!.byteLength)).toEqual(
        Uint8Array.from(bytesOf(array)),
      );
    }
    expect(await kindOfFile(bytesInMemory(stored()))).toBe("npz");
  });

  test("deflated arrays are inflated when they are read, and have no location", async () => {
    const reads: number[] = [];
    const memory = bytesInMemory(deflated(), "some.npz");
    const source = {
      ...memory,
      read: (offset: number, length: number) => {
        reads.push(length);
        return memory.read(offset, length);
      },
    };
    const { tensors } = await openNpz(source);
    expect(tensors.size).toBe(4);
    for (const tensor of tensors.values()) {
      expect(tensor.location).toBeUndefined();
      expect(await tensor.read()).toEqual(sample().get(tensor.name));
    }
    expect(reads.length).toBeGreaterThan(8);
  });

  test("column-major and big-endian arrays have no location", async () => {
    const header = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 2), }";
    const bytes = new Uint8Array(
      Buffer.concat([
        Buffer.from("\x93NUMPY\x01\x00", "latin1"),
        Buffer.from([header.length, 0]),
        Buffer.from(header),
        Buffer.from([0, 1, 0, 2, 0, 3, 0, 4]),
      ]),
    );
    for (const level of [0, 6] as const) {
      const tensor = (await open(zipSync({ "a.npy": bytes }, { level }))).tensors.get("a")!;
      expect(tensor.location).toBeUndefined();
      expect(await tensor.read()).toEqual(new NDArray("int16", [2, 2], Int16Array.of(1, 3, 2, 4)));
    }
  });

  test("arrays of another length, and what only calls itself one, are refused by name", async () => {
    const refusal = async (files: Record<string, Uint8Array>) => {
      const error = await open(zipSync(files)).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(InputError);
      return (error as Error).message;
    };
    const array = encodeNpy(float32([1, 2]));
    expect(await refusal({ "a.npy": array.subarray(0, array.length - 1) })).toContain(
      '"a.npy": float32 [2] needs 8 bytes after its header, found 7',
    );
    expect(await refusal({ "a.npy": new Uint8Array(0) })).toContain('"a.npy": expected a NumPy array');
  });

  test("what is no array, or of a type that is not read, keeps nobody from the others; texts are read as such", async () => {
    const typed = (descr: string, shape: string, data: readonly number[]) => {
      const text = `{'descr': ${descr}, 'fortran_order': False, 'shape': ${shape}, }`;
      return Uint8Array.from([
        ...Buffer.from("\x93NUMPY\x01\x00", "latin1"),
        text.length,
        0,
        ...Buffer.from(text),
        ...data,
      ]);
    };
    const file = await open(
      zipSync({
        "a.npy": encodeNpy(float32([1, 2])),
        "notes.txt": Uint8Array.of(1),
        "object.npy": typed("'|O'", "()", [0x80, 2, 0x4e, 0x2e]),
        "fields.npy": typed("[('a', '<f4')]", "(1,)", [0, 0, 0, 0]),
        "complex.npy": typed("'<c8'", "(1,)", [0, 0, 0, 0, 0, 0, 0, 0]),
        "names.npy": typed("'<U2'", "(2,)", [97, 0, 0, 0, 228, 0, 0, 0, 98, 0, 0, 0, 0, 0, 0, 0]),
        "turned.npy": typed("'>U1'", "(1,)", [0, 1, 246, 0]),
        "bytes.npy": typed("'|S3'", "(1,)", [49, 50, 0]),
      }),
    );
    expect([...file.tensors.keys()]).toEqual(["a"]);
    expect(Object.fromEntries(file.unreadable)).toMatchObject({
      "notes.txt": "is no array (.npy)",
      object: expect.stringContaining("(Python objects, which are never read)"),
      fields: expect.stringContaining("[('a', '<f4')]"),
      complex: expect.stringContaining("elements of type '<c8'"),
      names: expect.stringContaining("'<U2'"),
    });
    const texts = await Promise.all(Array.from(file.texts, async ([name, text]) => [name, await text.read()]));
    expect(Object.fromEntries(texts)).toEqual({ names: ["aä", "b"], turned: ["\u{1f600}"], bytes: ["12"] });
  });

  test("bfloat16 is refused when writing, by name", () => {
    const tensors = new Map([["w", new NDArray("bfloat16", [1], Uint16Array.of(1))]]);
    expect(() => [...encodeNpz(tensors)]).toThrow('tensor "w": NumPy has no bfloat16');
  });
});

describe("ranges", () => {
  const [N, H, W, C] = [23, 3, 5, 2];
  const data = Uint8Array.from({ length: N * H * W * C }, (_, k) => (k * 73 + (k >> 5)) % 256);
  const rowBytes = H * W * C;

  /** The array as NumPy writes it, in column-major order where `fortran` says so. */
  function npy(fortran: boolean): Uint8Array {
    const plain = encodeNpy(new NDArray("uint8", [N, H, W, C], data));
    if (!fortran) return plain;
    const header = Buffer.from(plain.subarray(0, plain.length - data.length)).toString("latin1");
    const turned = Buffer.from(header.replace("False, ", "True,  "), "latin1");
    const columns: number[] = [];
    for (let c = 0; c < C; c++)
      for (let w = 0; w < W; w++)
        for (let h = 0; h < H; h++) for (let n = 0; n < N; n++) columns.push(data[((n * H + h) * W + w) * C + c]!);
    return new Uint8Array(Buffer.concat([turned, Uint8Array.from(columns)]));
  }

  const forms = [false, true].flatMap((fortran) =>
    ([0, 9] as const).flatMap((level) => [1, 7 * rowBytes, 2 ** 28].map((memory) => ({ fortran, level, memory }))),
  );

  test.each(forms)("give the same bytes in order, over borders, again and at random: %o", async ({
    fortran,
    level,
    memory,
  }) => {
    const bytes = zipSync({ "arr_0.npy": npy(fortran) }, { level });
    const { readRange } = (await openNpz(bytesInMemory(bytes, "some.npz"), memory)).tensors.get("arr_0")!;
    for (const length of [1, rowBytes, 4 * rowBytes + 3, data.length]) {
      for (let at = 0; at < data.length; at += length) {
        const end = Math.min(at + length, data.length);
        expect(await readRange!(at, end - at)).toEqual(data.slice(at, end));
      }
    }
    for (const at of [600, 30, 0, 689, 200]) expect(await readRange!(at, 1)).toEqual(data.slice(at, at + 1));
    const together = await Promise.all([300, 0, 400].map((at) => readRange!(at, 5)));
    expect(together).toEqual([300, 0, 400].map((at) => data.slice(at, at + 5)));
  });

  test.each(forms)("of which one byte changed are refused once all was read: %o", async ({
    fortran,
    level,
    memory,
  }) => {
    const array = npy(fortran);
    const bytes = zipSync({ "arr_0.npy": array }, { level });
    const changed = bytes.slice();
    const directory = Buffer.from(bytes).lastIndexOf("PK\x01\x02", undefined, "latin1");
    changed[directory + 16]! ^= 1; // the checksum, so that what is packed can be unpacked
    const { readRange } = (await openNpz(bytesInMemory(changed, "some.npz"), memory)).tensors.get("arr_0")!;
    const reading = async () => {
      for (let at = 0; at < data.length; at += rowBytes) await readRange!(at, rowBytes);
    };
    await expect(reading()).rejects.toThrow('zip entry "arr_0.npy": its checksum does not fit its content');
  });

  test("of packed data that unpack to more or less than they claim, or to nothing at all, are refused", async () => {
    const bytes = zipSync({ "arr_0.npy": npy(false) }, { level: 9 });
    const at = Buffer.from(bytes).lastIndexOf("PK\x01\x02", undefined, "latin1") - 300; // behind the array's header
    for (const change of [1, 64, 255]) {
      const damaged = bytes.slice();
      damaged.fill(change, at, at + 60);
      const reading = openNpz(bytesInMemory(damaged, "some.npz"), 1).then((file) =>
        file.tensors.get("arr_0")!.readRange!(0, data.length),
      );
      await expect(reading).rejects.toThrow(
        /some\.npz: zip entry "arr_0\.npy": (it cannot be unpacked|it claims|its checksum)/,
      );
    }
  });

  test("of packed data are read with bounded memory, and in order with one pass", async () => {
    const large = new NDArray("uint8", [64, 2 ** 16], new Uint8Array(2 ** 22));
    const packed = zipSync({ "arr_0.npy": encodeNpy(large) }, { level: 9 });
    let read = 0;
    const memory = bytesInMemory(packed, "some.npz");
    const source = {
      ...memory,
      read: (offset: number, length: number) => {
        read += length;
        return memory.read(offset, length);
      },
    };
    const { readRange } = (await openNpz(source, 2 ** 16)).tensors.get("arr_0")!;
    read = 0;
    const zeros = Buffer.alloc(2 ** 16);
    for (let row = 0; row < 64; row++) expect(zeros.equals(await readRange!(row * 2 ** 16, 2 ** 16))).toBe(true);
    expect(read).toBeLessThan(packed.length + 1000);
  });
});
