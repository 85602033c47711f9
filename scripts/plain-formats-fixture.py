#!/usr/bin/env python3
"""Writes test/data/images/plain-formats.safetensors: BMP, PBM, PGM and PPM files, and the RGB that Pillow reads from them.

Needs numpy, pillow and safetensors. Run it from the root of the repository:
    python scripts/plain-formats-fixture.py
Tensors as those of decode-fixture.py. Grey values of 16 bits are scaled here, as Pillow makes all above 255 white.
"""
import io
import struct

import numpy as np
import PIL
from PIL import Image
from safetensors.numpy import save_file

draw = np.random.default_rng(2)
files, expected = {}, {}
WIDTH, HEIGHT = 13, 7
rgb = draw.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def rows(values, bits):
    """Indices as rows of a BMP, from below, padded to 4 bytes."""
    lines = []
    for row in values[::-1]:
        text = "".join(format(int(value), f"0{bits}b") for value in row)
        text += "0" * (-len(text) % 32)
        lines.append(bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8)))
    return b"".join(lines)


def words(values, dtype):
    size = np.dtype(dtype).itemsize
    return b"".join(row.astype(dtype).tobytes() + b"\0" * (-size * WIDTH % 4) for row in values[::-1])


def bmp(name, bits, pixels, palette=b"", compression=0, header=40, height=HEIGHT, masks=b"", colours=0):
    if header == 12:
        info = struct.pack("<IHHHH", 12, WIDTH, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, WIDTH, height, 1, bits, compression, len(pixels), 0, 0, colours, 0)
        info += masks if header > 40 else b""
        info += b"\0" * (header - len(info))
        info += masks if header == 40 else b""
    offset = 14 + len(info) + len(palette)
    files[name] = struct.pack("<2sIHHI", b"BM", offset + len(pixels), 0, 0, offset) + info + palette + pixels


def palette(colours, size=4):
    return b"".join(bytes(draw.integers(0, 256, 3).astype(np.uint8)) + b"\0" * (size - 3) for _ in range(colours))


for bits in (1, 4, 8):
    indices = draw.integers(0, 2**bits, (HEIGHT, WIDTH))
    bmp(f"{bits} bits.bmp", bits, rows(indices, bits), palette(2**bits))
    bmp(f"{bits} bits core.bmp", bits, rows(indices, bits), palette(2**bits, 3), header=12)
bmp("8 bits few colours.bmp", 8, rows(draw.integers(0, 5, (HEIGHT, WIDTH)), 8), palette(5), colours=5)
word = draw.integers(0, 65536, (HEIGHT, WIDTH))
bmp("16 bits.bmp", 16, words(word & 0x7FFF, "<u2"))
bmp("565.bmp", 16, words(word, "<u2"), compression=3, masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F))
bgr = np.concatenate([rgb[..., ::-1].reshape(HEIGHT, -1)], axis=1)
lines = b"".join(row.tobytes() + b"\0" * (-3 * WIDTH % 4) for row in bgr[::-1])
bmp("24 bits.bmp", 24, lines)
bmp("24 bits core.bmp", 24, lines, header=12)
bmp("24 bits V4.bmp", 24, lines, header=108)
bmp("24 bits V5.bmp", 24, lines, header=124)
top_down = b"".join(row.tobytes() + b"\0" * (-3 * WIDTH % 4) for row in bgr)
bmp("top-down.bmp", 24, top_down, height=-HEIGHT)
double = draw.integers(0, 2**32, (HEIGHT, WIDTH))
bmp("32 bits.bmp", 32, words(double, "<u4"))
xbgr = struct.pack("<IIII", 0xFF000000, 0xFF0000, 0xFF00, 0)
bmp("32 bits masks.bmp", 32, words(double, "<u4"), compression=3, masks=xbgr[:12])
argb = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
bmp("32 bits V4 alpha.bmp", 32, words(double, "<u4"), compression=3, header=108, masks=argb)
bmp("32 bits V5 alpha.bmp", 32, words(double, "<u4"), compression=3, header=124, masks=argb)


def run8(row):
    out, i = b"", 0
    while i < len(row):
        n = 1
        while i + n < len(row) and row[i + n] == row[i]:
            n += 1
        out, i = out + bytes([n, row[i]]), i + n
    return out + b"\0\0"


few = np.repeat(draw.integers(0, 4, (HEIGHT, 5)), 3, axis=1)[:, :WIDTH]
absolute = b"".join(b"\0" + bytes([WIDTH]) + bytes(row.tolist()) + b"\0" + b"\0\0" for row in few[::-1])
bmp("rle8.bmp", 8, b"".join(run8(row.tolist()) for row in few[::-1]) + b"\0\1", palette(256), compression=1)
bmp("rle8 absolute.bmp", 8, absolute + b"\0\1", palette(256), compression=1)
moved = bytes([4, 7, 0, 2, 3, 1, 5, 9, 0, 0]) + bytes([13, 3, 0, 0]) * 5 + b"\0\1"
bmp("rle8 moved.bmp", 8, moved, palette(256), compression=1)
packed = b"".join(bytes([WIDTH, (int(row[0]) << 4) | int(row[-1])]) + b"\0\0" for row in few[::-1])
bmp("rle4.bmp", 4, packed + b"\0\1", palette(16), compression=2)


def nibbles(row):
    row = row.tolist() + [0] * (len(row) % 2)
    data = bytes((a << 4) | b for a, b in zip(row[::2], row[1::2]))
    return b"\0" + bytes([WIDTH]) + data + b"\0" * (len(data) % 2)


bmp("rle4 absolute.bmp", 4, b"".join(nibbles(row) + b"\0\0" for row in few[::-1]) + b"\0\1", palette(16), compression=2)

size = f"{WIDTH} {HEIGHT}\n".encode()
bits = draw.integers(0, 2, (HEIGHT, WIDTH))
grey = rgb[..., 0]
grey16, rgb16 = draw.integers(0, 1001, (HEIGHT, WIDTH)), draw.integers(0, 65536, (HEIGHT, WIDTH, 3))
text = lambda values: b" ".join(str(int(value)).encode() for value in values.ravel()) + b"\n"
files["text.pbm"] = b"P1\n# a comment\n" + size + b"\n".join(b"".join(str(int(b)).encode() for b in row) for row in bits)
files["bytes.pbm"] = b"P4 " + size + np.packbits(bits, axis=1).tobytes()
files["text.pgm"] = b"P2\n" + size + b"255 # the largest\n" + text(grey)
files["bytes.pgm"] = b"P5\n# one\n# two\n" + size + b"255\n" + grey.tobytes()
files["text.ppm"] = b"P3\n" + size + b"255\n# data\n" + text(rgb)
files["bytes.ppm"] = b"P6\n" + size + b"255\n" + rgb.tobytes()
files["few values.ppm"] = b"P6\t" + size + b"9\n" + (rgb % 10).tobytes()
files["few values.pgm"] = b"P5 " + size + b"31\n" + (grey % 32).tobytes()
files["16 bits.ppm"] = b"P6\n" + size + b"65535\n" + rgb16.astype(">u2").tobytes()
files["1000 values.ppm"] = b"P6\n" + size + b"1000\n" + (rgb16 % 1001).astype(">u2").tobytes()
files["16 bits text.ppm"] = b"P3\n" + size + b"65535\n" + text(rgb16)
files["1000 values.pgm"] = b"P5\n" + size + b"1000\n" + grey16.astype(">u2").tobytes()
expected["1000 values.pgm"] = np.repeat(np.rint(grey16 / 1000 * 255).astype(np.uint8)[..., None], 3, -1)
files["two images.ppm"] = files["bytes.ppm"] * 2

tensors = {}
for name, data in files.items():
    tensors[f"rgb {name}"] = expected.get(name)
    if name not in expected:
        tensors[f"rgb {name}"] = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
for name in ["24 bits.bmp", "8 bits.bmp", "bytes.ppm", "text.ppm", "bytes.pbm", "text.pbm", "bytes.pgm"]:
    files[f"half of {name}"] = files[name][: len(files[name]) // 2]
for name, data in files.items():
    tensors[f"file {name}"] = np.frombuffer(data, np.uint8)

path = "test/data/images/plain-formats.safetensors"
save_file(tensors, path, {"pillow": PIL.__version__, "made by": "scripts/plain-formats-fixture.py"})
print(f"{path}: {len(files)} files, Pillow {PIL.__version__}")
