import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { type DType, NDArray, viewOf } from "../../src/array/ndarray.ts";
import { decodeNpy, encodeNpy } from "../../src/formats/npy.ts";

/** A file from the text of its header and its elements. */
function file(header: string, data: Uint8Array, version = 1): Uint8Array {
  const text = new TextEncoder().encode(header);
  const length =
    version === 1 ? [text.length & 0xff, text.length >>> 8] : [...new Uint8Array(Uint32Array.of(text.length).buffer)];
  return Uint8Array.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0, ...length, ...text, ...data]);
}

const header = (descr: string, shape: string, fortran = "False") =>
  `{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': ${shape}, }\n`;
const shorts = (...values: number[]) => new Uint8Array(Int16Array.from(values).buffer);

function refusal(bytes: Uint8Array): string {
  try {
    decodeNpy(bytes, "x.npy");
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).toMatch(/^x\.npy: /);
    return (error as Error).message;
  }
  throw new Error("it was decoded");
}

describe("npy", () => {
  test.each<DType>([
    "float64",
    "float32",
    "float16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
  ])("%s comes back as written", (dtype) => {
    const bytes = Uint8Array.from({ length: 48 }, (_, k) => (dtype === "bool" ? k % 2 : 255 - 5 * k));
    for (const [shape, size] of [
      [[2, 3], 6],
      [[6], 6],
      [[], 1],
      [[0, 4], 0],
    ] as [number[], number][]) {
      const array = new NDArray(dtype, shape, viewOf(dtype, bytes.buffer, 0, size));
      const encoded = encodeNpy(array);
      expect(decodeNpy(encoded)).toEqual(array);
      expect(encoded.length - array.byteLength).toBe(128);
    }
  });

  test("the bytes are those NumPy writes", () => {
    const bytes = Buffer.from(encodeNpy(new NDArray("int16", [2], Int16Array.of(1, -1)))).toString("latin1");
    const text = "{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }";
    expect(bytes).toBe(`\x93NUMPY\x01\x00v\x00${text.padEnd(117)}\n\x01\x00\xff\xff`);
  });

  test("column-major and big-endian arrays, and headers of versions 2 and 3", () => {
    const rows = new NDArray("int16", [2, 3], Int16Array.of(1, 3, 5, 2, 4, 6));
    for (const version of [1, 2, 3]) {
      expect(decodeNpy(file(header("<i2", "(2, 3)", "True"), shorts(1, 2, 3, 4, 5, 6), version))).toEqual(rows);
    }
    expect(decodeNpy(file(header(">i2", "(2, 3)", "True"), shorts(256, 512, 768, 1024, 1280, 1536)))).toEqual(rows);
    const cube = decodeNpy(file(header("|u1", "(2, 2, 2)", "True"), Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7)));
    expect([...(cube.data as Uint8Array)]).toEqual([0, 4, 2, 6, 1, 5, 3, 7]);
  });

  test("headers in other spellings", () => {
    const spellings = [
      `{"shape":(3L,),"fortran_order":False,"descr":"<i2"}`,
      "{ 'shape' : ( 3 ,) , 'descr' : '=i2' , 'fortran_order' : False }      \n",
    ];
    for (const text of spellings) expect([...decodeNpy(file(text, shorts(1, 2, 3))).data]).toEqual([1, 2, 3]);
  });

  test("unsigned integers are read as the signed ones that hold them", () => {
    const bytes = (...numbers: readonly number[]) => Uint8Array.from(numbers);
    const cases: readonly (readonly [string, Uint8Array, string, readonly (number | bigint)[]])[] = [
      ["<u2", bytes(0, 0, 255, 255), "int32", [0, 65535]],
      [">u2", bytes(0, 1, 255, 254), "int32", [1, 65534]],
      ["<u4", bytes(1, 0, 0, 0, 255, 255, 255, 255), "int64", [1n, 4294967295n]],
      [">u4", bytes(0, 0, 0, 7, 128, 0, 0, 0), "int64", [7n, 2147483648n]],
      ["<u8", bytes(9, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 127), "int64", [9n, 2n ** 63n - 1n]],
    ];
    for (const [code, data, dtype, values] of cases) {
      const array = decodeNpy(file(header(code, "(2,)"), data));
      expect([array.dtype, [...array.data]], code).toEqual([dtype, values]);
    }
    const columns = "{'descr': '<u2', 'fortran_order': True, 'shape': (2, 2), }";
    expect([...decodeNpy(file(columns, bytes(1, 0, 2, 0, 3, 0, 4, 0))).data]).toEqual([1, 3, 2, 4]);
    expect(refusal(file(header("<u8", "(1,)"), bytes(0, 0, 0, 0, 0, 0, 0, 128)))).toContain("up to 2^63 are read");
  });

  test("what is no array of numbers is refused by name", () => {
    expect(refusal(file(header("|O", "(1,)"), Uint8Array.of(0x80, 2)))).toContain(
      "Python objects, which are never read",
    );
    expect(refusal(file(header("<c8", "()"), new Uint8Array(8)))).toContain(
      "elements of type '<c8', expected one of float64",
    );
    expect(refusal(file(header("<U1", "()"), new Uint8Array(4)))).toContain("'<U1'");
    const structure = "{'descr': [('a', '<f4'), ('b', '<i4')], 'fortran_order': False, 'shape': (1,), }";
    expect(refusal(file(structure, new Uint8Array(8)))).toContain("elements of type [('a', '<f4'), ('b', '<i4')]");
    expect(refusal(new TextEncoder().encode("no array at all"))).toContain("expected a NumPy array");
    expect(refusal(file(header("<i2", "(1,)"), shorts(1), 4))).toContain("expected version 1, 2 or 3");
  });

  test("code in a header is not evaluated", () => {
    for (const shape of ["__import__('os').system('true')", "(1,)*9", "(1 + 1,)", "(-1,)", "[2]", "(1.0,)"]) {
      expect(refusal(file(header("<i2", shape), shorts(1)))).toMatch(
        /expected a header with descr, fortran_order and shape/,
      );
    }
    const extra = "{'descr': '<i2', 'fortran_order': False, 'shape': (1,), 'more': True}";
    expect(refusal(file(extra, shorts(1)))).toContain("expected a header with");
  });

  test("lengths that do not fit", () => {
    const bytes = file(header("<i2", "(3,)"), shorts(1, 2, 3));
    for (let length = 0; length < bytes.length; length++) refusal(bytes.subarray(0, length));
    expect(refusal(bytes.subarray(0, bytes.length - 1))).toContain("int16 [3] needs 6 bytes after its header, found 5");
    expect(refusal(file(header("<i2", "(2,)"), shorts(1, 2, 3)))).toContain("needs 4 bytes after its header, found 6");
    expect(refusal(file(header("<f8", "(4294967296, 4294967296)"), new Uint8Array(8)))).toContain(
      "the file is damaged",
    );
    expect(refusal(file(header("<f8", `(${"1".repeat(400)}, 0)`), new Uint8Array(8)))).toContain("the file is damaged");
    const blanks = `{'descr': '<i2', 'fortran_order': False, 'shape': (1${" ".repeat(60_000)}x), }`;
    expect(refusal(file(blanks, shorts(1)))).toContain("expected a header with");
  });

  test("bfloat16 is refused when writing, with what to do", () => {
    const array = new NDArray("bfloat16", [1], Uint16Array.of(1));
    expect(() => encodeNpy(array)).toThrow(
      new InputError("npy: NumPy has no bfloat16; convert it to float32 or write safetensors"),
    );
  });
});
