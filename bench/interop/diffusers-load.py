"""Loads what diffusers-save.ts wrote with the real torch and diffusers, and compares outputs with ours.

    python bench/interop/diffusers-load.py DIR MODELS_PY

DIR is the folder of diffusers-save.ts, MODELS_PY the `models.py` of facebookresearch/DiT. Needs torch, timm, diffusers,
accelerate and safetensors. Prints versions; ends with 0 if every line is within its limit, else with 1.
"""

import hashlib
import importlib.util
import logging
import platform
import sys

import diffusers
import numpy
import safetensors
import safetensors.torch
import timm
import torch

folder, models_path = sys.argv[1:]
torch.set_num_threads(1)
torch.manual_seed(0)
logging.disable(logging.WARNING)
diffusers.utils.logging.disable_progress_bar()
print(
    f"python {platform.python_version()}, torch {torch.__version__}, diffusers {diffusers.__version__}, "
    f"timm {timm.__version__}, safetensors {safetensors.__version__}, numpy {numpy.__version__}"
)
print(f"original: models.py, SHA-256 {hashlib.sha256(open(models_path, 'rb').read()).hexdigest()}")

LIMIT = 1e-5
failures = 0


def compare(what, found, expected, limit=LIMIT):
    """max|a - b| / max|b|; a limit of None only reports."""
    global failures
    difference = ((found - expected).abs().max() / expected.abs().max()).item()
    right = limit is None or difference <= limit
    failures += not right
    print(f"  {what}: {difference:.2e}" + ("" if limit is None else f" ({'within' if right else 'BEYOND'} {limit:g})"))


def original_classes():
    spec = importlib.util.spec_from_file_location("original_models", models_path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def their_outputs(transformer, given):
    with torch.no_grad():
        return transformer(given["x"], timestep=given["t"].long(), class_labels=given["y"].long()).sample


original = original_classes()
for name, sizes in [
    ("whole", dict(hidden_size=96, depth=4, num_heads=6)),
    ("pruned", dict(hidden_size=64, depth=14, num_heads=4)),
]:
    given = safetensors.torch.load_file(f"{folder}/{name}-outputs.safetensors")
    print(f"{name}: {sizes}")

    state = torch.load(f"{folder}/{name}.pt", weights_only=True)
    model = original.DiT(input_size=8, patch_size=2, in_channels=4, num_classes=1000, **sizes)
    model.load_state_dict(state, strict=True)
    with torch.no_grad():
        compare("original DiT with our .pt", model.eval()(given["x"], given["t"], given["y"].long()), given["output"])

    more = {} if name == "whole" else {"vae": diffusers.AutoencoderKL.from_pretrained(f"{folder}/whole/vae")}
    pipe = diffusers.DiTPipeline.from_pretrained(f"{folder}/{name}", **more)
    pipe.set_progress_bar_config(disable=True)
    transformer = pipe.transformer.eval()
    unchanged = their_outputs(transformer, given)
    compare("diffusers as it is, ours with its frequencies of time", unchanged, given["output_with_their_frequencies"])
    compare("diffusers as it is, ours as it is, only t = 0", unchanged[:1], given["output"][:1])
    compare("diffusers as it is, ours as it is, all t (frequencies differ)", unchanged, given["output"], None)
    for block in transformer.transformer_blocks:
        block.norm1.emb.time_proj.downscale_freq_shift = 0  # the original's frequencies
    compare("diffusers with the original's frequencies, ours as it is", their_outputs(transformer, given), given["output"])

    images = pipe([207, 360], guidance_scale=4.0, num_inference_steps=2, output_type="np").images
    finite = bool(numpy.isfinite(images).all())
    failures += not (finite and images.shape == (2, 64, 64, 3))
    labels = f"{len(pipe.labels)} names of classes, golden retriever is {pipe.get_label_ids(['golden retriever'])}"
    print(f"  DiTPipeline, 2 steps with guidance: images {images.shape}, finite: {finite}; {labels}")

given = safetensors.torch.load_file(f"{folder}/vae-outputs.safetensors")
with torch.no_grad():
    images = diffusers.AutoencoderKL.from_pretrained(f"{folder}/whole/vae").eval().decode(given["z"]).sample
print("vae:")
compare("AutoencoderKL.decode", images, given["images"])
print(f"{failures} failures")
sys.exit(1 if failures else 0)
