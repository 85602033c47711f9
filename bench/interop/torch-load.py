"""Loads a .pt file with the real torch and compares every tensor, bit by bit, with a safetensors twin.

    python bench/interop/torch-load.py ours.pt ours.safetensors

Needs torch and safetensors. Prints versions; ends with 0 if nothing differs, else with 1 and a line for each difference.
"""

import collections
import platform
import sys

import safetensors
import torch

path, twin = sys.argv[1:]
print(f"python {platform.python_version()}, torch {torch.__version__}, safetensors {safetensors.__version__}")

loaded = torch.load(path, weights_only=True, mmap=True)
plain = torch.load(path, weights_only=True) if len(loaded) > 70 else loaded  # without mapping too, unless it is large
problems = []
if not isinstance(loaded, collections.OrderedDict):
    problems.append(f"expected an OrderedDict, found {type(loaded).__name__}")


def bits(tensor):
    return tensor.reshape(-1).view(torch.uint8)


with safetensors.safe_open(twin, "pt") as reference:
    names = list(reference.keys())
    if sorted(names) != sorted(loaded):
        problems.append(f"expected {len(names)} names, found {len(loaded)}: {set(names) ^ set(loaded)}")
    for name in names:
        if name not in loaded:
            continue
        expected = reference.get_tensor(name)
        for how, found in (("mapped", loaded[name]), ("read", plain[name])):
            if found.dtype != expected.dtype or found.shape != expected.shape:
                problems.append(f"{name} ({how}): {found.dtype} {list(found.shape)}, not {expected.dtype} {list(expected.shape)}")
            elif not found.is_contiguous() or found.requires_grad:
                problems.append(f"{name} ({how}): not contiguous, or wants a gradient")
            elif not torch.equal(bits(found), bits(expected)):
                problems.append(f"{name} ({how}): other bits")
            elif found.data_ptr() % 16 != 0 and found.numel() > 0:
                problems.append(f"{name} ({how}): not aligned")

total = sum(tensor.numel() * tensor.element_size() for tensor in loaded.values())
for problem in problems:
    print(problem)
print(f"{path.rsplit('/', 1)[-1]}: {len(loaded)} tensors, {total} bytes, {len(problems)} differences")
sys.exit(1 if problems or not loaded else 0)
