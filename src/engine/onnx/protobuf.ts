/** The part of the protocol-buffer wire format that ONNX files need, for writing. */

/** A growing message. Field numbers and types are those of onnx.proto. */
export class ProtoWriter {
  #bytes = new Uint8Array(256);
  #length = 0;

  /** An int64 or enum field; negative numbers take ten bytes. */
  integer(field: number, value: number): this {
    this.#varint(field * 8);
    if (value < 0) {
      let rest = BigInt.asUintN(64, BigInt(value));
      this.#reserve(10);
      for (; rest > 127n; rest >>= 7n) this.#bytes[this.#length++] = Number(rest & 127n) | 128;
      this.#bytes[this.#length++] = Number(rest);
    } else {
      this.#varint(value);
    }
    return this;
  }

  float(field: number, value: number): this {
    this.#varint(field * 8 + 5);
    this.#reserve(4);
    new DataView(this.#bytes.buffer).setFloat32(this.#length, value, true);
    this.#length += 4;
    return this;
  }

  text(field: number, value: string): this {
    return this.bytes(field, encoder.encode(value));
  }

  message(field: number, value: ProtoWriter): this {
    return this.bytes(field, value.finish());
  }

  /** Begins a field of bytes, which are to follow what was written so far. */
  opening(field: number, length: number): this {
    this.#varint(field * 8 + 2);
    this.#varint(length);
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.opening(field, value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  /** The bytes written so far, as a view. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #varint(value: number): void {
    this.#reserve(10);
    let rest = value;
    for (; rest > 127; rest = Math.floor(rest / 128)) this.#bytes[this.#length++] = (rest % 128) | 128;
    this.#bytes[this.#length++] = rest;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count));
    grown.set(this.finish());
    this.#bytes = grown;
  }
}

const encoder = new TextEncoder();
