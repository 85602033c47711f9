#!/usr/bin/env python3
"""Writes test/data/images/resample.safetensors: small images, and what Pillow makes of them.

Needs numpy, safetensors and a Pillow before 12. Since 12.3 it shrinks very tall images along columns first, since 13 any
whose height shrinks much more than the width: other bytes than those that the released models were trained on. Run it from the root of the repository:
    python scripts/resample-fixture.py
Tensors: `FILTER WxH` [H', W', 3] is the noise picture `noise W'xH'` resized; `crop S of WxH` is ADM's centre crop.
`--compare N FOLDER` writes N random cases to FOLDER instead, for a comparison larger than a fixture should be.
"""
import sys
from pathlib import Path

import numpy as np
import PIL
from PIL import Image
from safetensors.numpy import save_file

assert int(PIL.__version__.split(".")[0]) < 12, f"needs Pillow 11 or older, found {PIL.__version__}"
FILTERS = {"box": Image.BOX, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}


def noise(width, height, seed):
    """Half noise, half flat black and white, where overshoot is clipped."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
    extremes = draw.integers(0, 2, (height, width, 3), dtype=np.uint8) * 255
    pixels[:, width // 2 :] = extremes[:, width // 2 :]
    return pixels


def resized(pixels, width, height, name):
    return np.array(Image.fromarray(pixels).resize((width, height), FILTERS[name]))


def center_crop(pixels, size):
    """What guided-diffusion does to an image, written down from its description."""
    image = Image.fromarray(pixels)
    while min(image.size) >= 2 * size:
        image = image.resize(tuple(side // 2 for side in image.size), Image.BOX)
    scale = size / min(image.size)
    image = image.resize(tuple(round(side * scale) for side in image.size), Image.BICUBIC)
    left, top = ((side - size) // 2 for side in image.size)
    return np.array(image)[top : top + size, left : left + size]


def fixture():
    tensors = {}
    for number, (width, height, targets) in enumerate([
        (37, 23, [(16, 16), (18, 11), (37, 10), (12, 23), (61, 47), (37, 23), (1, 1)]),
        (5, 7, [(13, 3), (64, 9), (5, 21)]),
        (1, 9, [(4, 4)]),
    ]):
        source = f"noise {width}x{height}"
        tensors[source] = noise(width, height, number)
        for name in FILTERS:
            for to in targets:
                tensors[f"{name} {to[0]}x{to[1]} of {source}"] = resized(tensors[source], *to, name)
    # Odd sides, no halving, one and two halvings, exact fits, enlarging, a side that rounds half to even.
    for width, height, size in [(50, 41, 16), (33, 90, 16), (16, 16, 16), (9, 12, 16), (31, 17, 16), (70, 66, 16), (24, 37, 12)]:
        pixels = noise(width, height, 100 + width)
        tensors[f"noise {width}x{height}"] = pixels
        tensors[f"crop {size} of noise {width}x{height}"] = center_crop(pixels, size)
    return tensors


def comparison(count):
    draw = np.random.default_rng(5)
    tensors = {}
    for number in range(count):
        width, height, to_width, to_height = (int(x) for x in draw.integers(1, 400, 4))
        pixels = noise(width, height, 1000 + number)
        tensors[f"noise {width}x{height}#{number}"] = pixels
        name = list(FILTERS)[number % 4]
        tensors[f"{name} {to_width}x{to_height} of noise {width}x{height}#{number}"] = resized(pixels, to_width, to_height, name)
        size = int(draw.integers(1, 200))
        tensors[f"crop {size} of noise {width}x{height}#{number}"] = np.ascontiguousarray(center_crop(pixels, size))
    return tensors


compare = len(sys.argv) > 1
tensors = comparison(int(sys.argv[2])) if compare else fixture()
path = Path(sys.argv[3]) / "resample.safetensors" if compare else Path("test/data/images/resample.safetensors")
path.parent.mkdir(parents=True, exist_ok=True)
contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
save_file(contiguous, path, {"pillow": PIL.__version__, "made by": "scripts/resample-fixture.py"})
print(f"{path}: {len(tensors)} tensors, Pillow {PIL.__version__}")
