#!/usr/bin/env python3
"""Writes test/data/images/resize.safetensors: small images, and what the evaluators of FID make of them before they look.

Needs numpy, torch, safetensors and Pillow. Run it from the root of the repository:
    OMP_NUM_THREADS=1 python scripts/resize-fixture.py
Tensors: `KIND WxH of SOURCE` [H, W, 3] float32. `corners` is the formula of TensorFlow 1's ResizeBilinear (kernel of
2.1: `LegacyScaler`) in NumPy's float32, `centres` is torch's `interpolate`, `bicubic` Pillow's on channels of mode F.
"""
from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import Image
from safetensors.numpy import save_file


def corners(pixels, width, height):
    def places(size, to):
        at = np.arange(to, dtype=np.float32) * (np.float32(size) / np.float32(to))
        low = np.floor(at)
        return low.astype(int), np.minimum(low.astype(int) + 1, size - 1), at - low

    x = pixels.astype(np.float32)
    (top, bottom, down), (left, right, along) = places(x.shape[0], height), places(x.shape[1], width)
    along, down = along[None, :, None], down[:, None, None]
    upper = x[top][:, left] + (x[top][:, right] - x[top][:, left]) * along
    lower = x[bottom][:, left] + (x[bottom][:, right] - x[bottom][:, left]) * along
    return upper + (lower - upper) * down


def centres(pixels, width, height):
    x = torch.from_numpy(pixels.astype(np.float32).transpose(2, 0, 1).copy())[None]
    y = torch.nn.functional.interpolate(x, size=(height, width), mode="bilinear", align_corners=False)
    return y[0].numpy().transpose(1, 2, 0)


def bicubic(pixels, width, height):
    planes = [Image.fromarray(pixels[:, :, c].astype(np.float32)) for c in range(3)]
    assert all(plane.mode == "F" for plane in planes)
    return np.stack([np.asarray(plane.resize((width, height), Image.BICUBIC)) for plane in planes], -1)


tensors = {}
kinds = {"corners": corners, "centres": centres, "bicubic": bicubic}
sources = {"9x6": [(23, 17), (9, 11), (4, 5), (9, 6)], "32x32": [(29, 29), (13, 32)], "2x2": [(29, 29)], "1x1": [(3, 2)]}
for source, targets in sources.items():
    width, height = map(int, source.split("x"))
    draw = np.random.default_rng(width)
    pixels = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[:, width // 2 :] = draw.integers(0, 2, (height, width - width // 2, 3), dtype=np.uint8) * 255
    tensors[source] = pixels
    for to_width, to_height in targets:
        for kind, resize in kinds.items():
            made = resize(pixels, to_width, to_height)
            assert made.dtype == np.float32 and made.shape == (to_height, to_width, 3)
            tensors[f"{kind} {to_width}x{to_height} of {source}"] = np.ascontiguousarray(made)

# The scale to 299 is no short binary fraction: places far along a side show how it is rounded.
row = np.random.default_rng(1).integers(0, 256, (2, 64, 3), dtype=np.uint8)
tensors["64x2"] = row
for kind, resize in kinds.items():
    tensors[f"{kind} 299x3 of 64x2"] = np.ascontiguousarray(resize(row, 299, 3))
path = Path("test/data/images/resize.safetensors")
versions = {"pillow": PIL.__version__, "torch": torch.__version__, "numpy": np.__version__}
save_file(tensors, path, versions | {"made by": "scripts/resize-fixture.py"})
print(f"{path}: {len(tensors)} tensors, {path.stat().st_size} bytes")
