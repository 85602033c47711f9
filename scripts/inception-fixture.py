"""Makes test/golden/inception.safetensors and .json: what FID's Inception-v3 computes from weights by formula.

    OMP_NUM_THREADS=1 python scripts/inception-fixture.py --out test/golden

Needs torch, safetensors and numpy. No weights are stored: `test/golden/inception-fixture.ts` computes the same ones. The
network is written down here from the paper's tables and the differences that pytorch-fid lists; `--check` compares it with
torchvision's classes, changed in the same places. Images are resized by TensorFlow 1's formula.
"""

import argparse
import json
import platform
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file


def formula(name, shape):
    """Element i of weight `name`: uniform, from a hash of (name, i), scaled so that activations keep their size."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x01000193) & 0xFFFFFFFF  # FNV-1a
    x = np.arange(int(np.prod(shape)), dtype=np.uint32) * np.uint32(0x9E3779B9) + np.uint32(seed)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    uniform = (x >> np.uint32(8)).astype(np.float64) * 2.0**-23 - 1  # [-1, 1)
    if len(shape) > 1:
        values = uniform * np.sqrt(3 / np.prod(shape[1:]))
    elif name.endswith("bn.weight"):
        values = 1.25 + 0.25 * uniform
    elif name.endswith("running_var"):
        values = 0.75 + 0.5 * uniform
    else:
        values = 0.2 * uniform
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


class Network:
    """The whole of it, as functions; weights are made where they are used and kept by torchvision's names."""

    def __init__(self, dtype):
        self.dtype, self.weights = dtype, OrderedDict()

    def get(self, name, shape):
        self.weights[name] = formula(name, shape)
        return self.weights[name].to(self.dtype)

    def unit(self, name, x, channels, kernel=(1, 1), stride=1, padding=(0, 0)):
        x = F.conv2d(x, self.get(f"{name}.conv.weight", (channels, x.shape[1], *kernel)), None, stride, padding)
        gain, shift, mean, variance = (
            self.get(f"{name}.bn.{own}", (channels,)) for own in ("weight", "bias", "running_mean", "running_var")
        )
        return F.relu(F.batch_norm(x, mean, variance, gain, shift, False, 0.0, 0.001))

    def units(self, name, x, *steps):
        for number, (channels, (h, w), same, stride) in enumerate(steps, 1):
            padding = (h // 2, w // 2) if same else (0, 0)
            x = self.unit(f"{name}_{number}", x, channels, (h, w), stride, padding)
        return x

    def mean_unit(self, name, x, channels):
        return self.unit(f"{name}.branch_pool", F.avg_pool2d(x, 3, 1, 1, count_include_pad=False), channels)

    def a(self, name, x, channels):
        one = self.unit(f"{name}.branch1x1", x, 64)
        five = self.units(f"{name}.branch5x5", x, (48, (1, 1), 1, 1), (64, (5, 5), 1, 1))
        steps = (64, (1, 1), 1, 1), (96, (3, 3), 1, 1), (96, (3, 3), 1, 1)
        return torch.cat([one, five, self.units(f"{name}.branch3x3dbl", x, *steps), self.mean_unit(name, x, channels)], 1)

    def b(self, name, x):
        three = self.unit(f"{name}.branch3x3", x, 384, (3, 3), 2)
        steps = (64, (1, 1), 1, 1), (96, (3, 3), 1, 1), (96, (3, 3), 0, 2)
        return torch.cat([three, self.units(f"{name}.branch3x3dbl", x, *steps), F.max_pool2d(x, 3, 2)], 1)

    def c(self, name, x, c):
        one = self.unit(f"{name}.branch1x1", x, 192)
        short = self.units(f"{name}.branch7x7", x, (c, (1, 1), 1, 1), (c, (1, 7), 1, 1), (192, (7, 1), 1, 1))
        steps = (c, (1, 1), 1, 1), (c, (7, 1), 1, 1), (c, (1, 7), 1, 1), (c, (7, 1), 1, 1), (192, (1, 7), 1, 1)
        return torch.cat([one, short, self.units(f"{name}.branch7x7dbl", x, *steps), self.mean_unit(name, x, 192)], 1)

    def d(self, name, x):
        three = self.units(f"{name}.branch3x3", x, (192, (1, 1), 1, 1), (320, (3, 3), 0, 2))
        steps = (192, (1, 1), 1, 1), (192, (1, 7), 1, 1), (192, (7, 1), 1, 1), (192, (3, 3), 0, 2)
        return torch.cat([three, self.units(f"{name}.branch7x7x3", x, *steps), F.max_pool2d(x, 3, 2)], 1)

    def e(self, name, x, largest):
        one = self.unit(f"{name}.branch1x1", x, 320)
        short = self.units(f"{name}.branch3x3", x, (384, (1, 1), 1, 1))
        long = self.units(f"{name}.branch3x3dbl", x, (448, (1, 1), 1, 1), (384, (3, 3), 1, 1))
        ends = [
            self.unit(f"{name}.{branch}{letter}", h, 384, kernel, 1, padding)
            for branch, h in (("branch3x3_2", short), ("branch3x3dbl_3", long))
            for letter, kernel, padding in (("a", (1, 3), (0, 1)), ("b", (3, 1), (1, 0)))
        ]
        if largest:
            last = self.unit(f"{name}.branch_pool", F.max_pool2d(x, 3, 1, 1), 192)
        else:
            last = self.mean_unit(name, x, 192)
        return torch.cat([one, *ends, last], 1)

    def __call__(self, x):
        """x [N, 3, 299, 299] → pooled [N, 2048], spatial [N, 2023], logits without bias [N, 1008]."""
        h = self.unit("Conv2d_1a_3x3", x.to(self.dtype), 32, (3, 3), 2)
        h = self.unit("Conv2d_2a_3x3", h, 32, (3, 3))
        h = F.max_pool2d(self.unit("Conv2d_2b_3x3", h, 64, (3, 3), 1, (1, 1)), 3, 2)
        h = self.unit("Conv2d_3b_1x1", h, 80)
        h = F.max_pool2d(self.unit("Conv2d_4a_3x3", h, 192, (3, 3)), 3, 2)
        h = self.a("Mixed_5b", h, 32)
        h = self.a("Mixed_5c", h, 64)
        h = self.a("Mixed_5d", h, 64)
        h = self.b("Mixed_6a", h)
        h = self.c("Mixed_6b", h, 128)
        h = self.c("Mixed_6c", h, 160)
        spatial = self.unit("Mixed_6d.branch1x1", h, 192)[:, :7].permute(0, 2, 3, 1).flatten(1)
        h = self.c("Mixed_6d", h, 160)
        h = self.c("Mixed_6e", h, 192)
        h = self.d("Mixed_7a", h)
        h = self.e("Mixed_7b", h, False)
        h = self.e("Mixed_7c", h, True)
        pooled = h.mean((2, 3))
        logits = pooled @ self.get("fc.weight", (1008, 2048)).T
        self.get("fc.bias", (1008,))
        return {"pooled": pooled, "spatial": spatial, "logits": logits}


def resize(images):
    """TensorFlow 1's ResizeBilinear to 299 × 299, then (x − 128) / 128: bytes [N, H, W, 3] → [N, 3, 299, 299]."""
    def places(size):
        at = np.arange(299, dtype=np.float32) * np.float32(size / 299)
        low = np.floor(at).astype(int)
        return low, np.minimum(low + 1, size - 1), at - low.astype(np.float32)

    x = images.astype(np.float32)
    (top, bottom, down), (left, right, along) = places(x.shape[1]), places(x.shape[2])
    along, down = along[None, None, :, None], down[None, :, None, None]
    mix = lambda a, b, share: a + (b - a) * share
    upper, lower = (mix(x[:, rows][:, :, left], x[:, rows][:, :, right], along) for rows in (top, bottom))
    return torch.from_numpy(((mix(upper, lower, down) - 128) / 128).transpose(0, 3, 1, 2).copy())


def pictures():
    """Noise, noise on a slope, and a few shapes: bytes [3, 40, 28, 3]."""
    draw = np.random.default_rng(7)
    noise = draw.integers(0, 256, (3, 40, 28, 3))
    y, x = np.mgrid[0:40, 0:28]
    slope = np.stack([6 * y, 9 * x, 255 - 3 * (x + y)], -1)
    shapes = 255 * np.stack([(x - 14) ** 2 + (y - 18) ** 2 < 90, (x // 7 + y // 5) % 2, y > 2 * x], -1)
    return np.stack([noise[0], (3 * slope + noise[1]) // 4, (7 * shapes + noise[2]) // 8]).clip(0, 255).astype(np.uint8)


def check(x, network, outputs):
    """Against torchvision's classes, changed where FID's network differs."""
    from torchvision.models import inception

    largest = []

    class Functions:
        def __getattr__(self, name):
            return getattr(F, name)

        def avg_pool2d(self, x, kernel_size, stride, padding):
            if any(x is one for one in largest):
                return F.max_pool2d(x, kernel_size, stride, padding)
            return F.avg_pool2d(x, kernel_size, stride, padding, count_include_pad=False)

    inception.F = Functions()
    model = inception.inception_v3(num_classes=1008, aux_logits=False, weights=None, init_weights=False).eval()
    model.load_state_dict(network.weights, strict=False)
    seen = {}
    model.Mixed_7c.register_forward_pre_hook(lambda _, given: largest.append(given[0]))
    model.avgpool.register_forward_hook(lambda _, __, y: seen.update(pooled=y.flatten(1)))
    model.Mixed_6d.branch1x1.register_forward_hook(
        lambda _, __, y: seen.update(spatial=y[:, :7].permute(0, 2, 3, 1).flatten(1))
    )
    with torch.no_grad():
        seen["logits"] = model(x) - model.fc.bias
    for name, y in seen.items():
        print(f"torchvision {name}: {float((y - outputs[name]).abs().max() / outputs[name].abs().max()):.1e}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = pictures()
    x = resize(images)
    single, double = Network(torch.float32), Network(torch.float64)
    with torch.no_grad():
        outputs, exact = single(x), double(x)
    for name, y in outputs.items():
        error = float((y.double() - exact[name]).abs().max() / exact[name].abs().max())
        live = float((y > 0).float().mean())
        print(f"{name} {list(y.shape)}: std {y.std():.3f}, {live:.0%} positive, float32 from float64 {error:.1e}")
    if options.check:
        check(x, single, outputs)
    tensors = {"images": images, **{name: np.ascontiguousarray(y.float().numpy()) for name, y in exact.items()}}
    sidecar = {
        "settings": {
            "made_by": "scripts/inception-fixture.py",
            "versions": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
            "weights": {name: list(w.shape) for name, w in single.weights.items()},
        },
        "tensors": {name: {"shape": list(y.shape)} for name, y in tensors.items()},
    }
    folder = Path(options.out)
    save_file(tensors, str(folder / "inception.safetensors"))
    lines = {key: json.dumps(value) for key, value in sidecar["settings"]["weights"].items()}
    text = json.dumps(sidecar | {"settings": sidecar["settings"] | {"weights": "WEIGHTS"}}, indent=2)
    inner = ",\n".join(f'      "{name}": {shape}' for name, shape in lines.items())
    (folder / "inception.json").write_text(text.replace('"WEIGHTS"', "{\n" + inner + "\n    }") + "\n")


if __name__ == "__main__":
    main()
