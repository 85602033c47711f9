#!/usr/bin/env python3
"""Writes test/data/images/decode.safetensors: small image files of many kinds, and the RGB that Pillow reads from them.

Needs numpy, pillow and safetensors. Run it from the root of the repository:
    python scripts/decode-fixture.py
Tensors: `file NAME` [bytes] and `rgb NAME` [H, W, 3]; files without `rgb` are damaged, and Pillow refuses them.
"""
import io
import struct
import zlib

import numpy as np
import PIL
from PIL import Image, ImageCms
from safetensors.numpy import save_file

draw = np.random.default_rng(1)
files = {}


def waves(height, width, channels=3):
    y, x = np.mgrid[0:height, 0:width]
    planes = [127 + 100 * np.sin(x / (5 + k) + y / (7 + k) + k) for k in range(channels)]
    return (np.stack(planes, -1) + draw.normal(0, 8, (height, width, channels))).clip(0, 255).astype(np.uint8)


def write(name, image, format, **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    files[name] = stream.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(colour_type, channels):
    """A PNG of 16 bits for each channel, which Pillow cannot write."""
    pixels = draw.integers(0, 65536, (9, 11, channels)).astype(">u2")
    header = struct.pack(">IIBBBBB", 11, 9, 16, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


rgb = Image.fromarray(waves(23, 31))
rgba = Image.fromarray(waves(17, 21, 4))
mirrored = rgb.transpose(Image.FLIP_TOP_BOTTOM)
rotated = Image.Exif()
rotated[274] = 6
swapped = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()

for name, subsampling in [("444", 0), ("422", 1), ("420", 2)]:
    write(f"{name}.jpg", rgb, "JPEG", quality=90, subsampling=subsampling)
write("progressive.jpg", rgb, "JPEG", quality=75, progressive=True)
write("grey.jpg", rgb.convert("L"), "JPEG")
write("cmyk.jpg", rgb.convert("CMYK"), "JPEG", quality=95)
write("profile.jpg", rgb, "JPEG", icc_profile=swapped)
write("rotated.jpg", rgb, "JPEG", exif=rotated)
write("rgb.png", rgb, "PNG")
write("rgba.png", rgba, "PNG")
write("grey.png", rgb.convert("L"), "PNG")
write("grey-alpha.png", rgba.convert("LA"), "PNG")
write("palette.png", rgb.quantize(37), "PNG")
write("transparent-palette.png", rgb.quantize(30), "PNG", transparency=3)
write("transparent-colour.png", rgb, "PNG", transparency=(100, 100, 100))
write("bits.png", rgb.convert("1"), "PNG")
write("animated.png", rgb, "PNG", save_all=True, append_images=[mirrored])
files["rgb16.png"] = png16(2, 3)
files["rgba16.png"] = png16(6, 4)
files["grey-alpha16.png"] = png16(4, 2)
write("lossy.webp", rgb, "WEBP", quality=80)
write("lossless.webp", rgb, "WEBP", lossless=True)
write("alpha.webp", rgba, "WEBP", lossless=True, exact=True)
write("animated.webp", rgb, "WEBP", save_all=True, append_images=[mirrored], lossless=True)
write("palette.gif", rgb.quantize(50), "GIF")
write("animated.gif", rgb.quantize(50), "GIF", save_all=True, append_images=[mirrored.quantize(50)])
write("rgb.tif", rgb, "TIFF")
write("lzw.tif", rgb, "TIFF", compression="tiff_lzw")
write("cmyk.tif", rgb.convert("CMYK"), "TIFF")
write("palette.tif", rgb.quantize(20), "TIFF")

jpeg = files["420.jpg"]
scan = jpeg.rfind(b"\xff\xda")
files["jpeg named.png"] = jpeg
files["trailing bytes.jpg"] = jpeg + b"more" * 50
files["extra bytes.jpg"] = jpeg[:scan] + b"\x12\x34\x56" + jpeg[scan:]

tensors = {}
for name, data in files.items():
    tensors[f"rgb {name}"] = np.array(Image.open(io.BytesIO(data)).convert("RGB"))

# Pillow makes all grey values above 255 white; the upper byte is what it takes of 16-bit colour.
grey16 = draw.integers(0, 65536, (9, 11)).astype(np.uint16)
write("grey16.png", Image.fromarray(grey16), "PNG")
tensors["rgb grey16.png"] = np.repeat((grey16 >> 8).astype(np.uint8)[..., None], 3, -1)

changed = bytearray(files["rgb.png"])
changed[len(changed) // 2] ^= 255
files["damaged.png"] = bytes(changed)
for name in ["420.jpg", "rgb.png", "lossy.webp", "palette.gif", "rgb.tif"]:
    files[f"half of {name}"] = files[name][: len(files[name]) // 2]
for name, data in files.items():
    tensors[f"file {name}"] = np.frombuffer(data, np.uint8)
    if f"rgb {name}" not in tensors:
        try:
            Image.open(io.BytesIO(data)).convert("RGB")
        except Exception:
            continue
        raise SystemExit(f"Pillow reads {name}, which should be damaged")

path = "test/data/images/decode.safetensors"
save_file(tensors, path, {"pillow": PIL.__version__, "made by": "scripts/decode-fixture.py"})
print(f"{path}: {len(files)} files, Pillow {PIL.__version__}")
