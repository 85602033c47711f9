"""Makes test/golden/autoencoder.safetensors and .json: what the original autoencoders compute from weights by formula.

    git clone https://github.com/LTH14/mar && git -C mar checkout fe470ac
    OMP_NUM_THREADS=1 python scripts/autoencoder-fixture.py --mar mar --out test/golden

Needs torch, diffusers, safetensors and numpy. No weights are stored: `test/golden/autoencoder-fixture.ts` computes the
same ones. Stable Diffusion's autoencoder and the small ones are diffusers' AutoencoderKL, KL-16 is `models/vae.py` of MAR.
"""

import argparse
import json
import platform
import sys
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from safetensors.numpy import save_file


def formula(name, shape):
    """Element i of weight `name`: uniform, from a hash of (name, i), scaled so that activations keep their size."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x01000193) & 0xFFFFFFFF  # FNV-1a
    size = int(np.prod(shape))
    x = np.arange(size, dtype=np.uint32) * np.uint32(0x9E3779B9) + np.uint32(seed)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    uniform = (x >> np.uint32(8)).astype(np.float64) * 2.0**-23 - 1  # [-1, 1)
    if len(shape) > 1:
        values = uniform * np.sqrt(3 / np.prod(shape[1:]))
    else:
        values = 0.1 * uniform + (1 if name.endswith(".weight") else 0)
    return values.astype(np.float32).reshape(shape)


def fill(model):
    """Gives a model its weights by the formula; returns their names and shapes."""
    state = model.state_dict()
    model.load_state_dict({name: torch.from_numpy(formula(name, tuple(x.shape))) for name, x in state.items()})
    model.eval()
    return {name: list(x.shape) for name, x in state.items()}


def draw(seed, shape, uniform=False):
    generator = np.random.default_rng(seed)
    values = generator.uniform(-1, 1, shape) if uniform else generator.standard_normal(shape)
    return torch.from_numpy(values.astype(np.float32))


def run(tensors, case, model, image, latents, split):
    """Encodes and decodes in float32; says how far float32 is from float64."""
    results = {}
    for dtype in (torch.float64, torch.float32):
        model.to(dtype)
        with torch.no_grad():
            posterior, decoded = split(model, image.to(dtype), latents.to(dtype))
        results[dtype] = {"moments": posterior, "decoded": decoded}
    for key, single in results[torch.float32].items():
        double = results[torch.float64][key]
        error = float((single.double() - double).abs().max() / double.abs().max())
        print(f"{case}.{key} {list(single.shape)}: std {single.std():.3f}, float32 from float64 {error:.1e}")
        # Attention leaves other strides, which save_file ignores.
        tensors[f"{case}.{key}"] = np.ascontiguousarray(single.numpy())
    tensors[f"{case}.image"] = image.numpy()
    tensors[f"{case}.latents"] = latents.numpy()


def diffusers_pass(model, image, latents):
    return model.encode(image).latent_dist.parameters, model.decode(latents).sample


def mar_pass(model, image, latents):
    return model.encode(image).parameters, model.decode(latents)


stable_diffusion = dict(
    in_channels=3, out_channels=3, latent_channels=4, layers_per_block=2, norm_num_groups=32, act_fn="silu",
    block_out_channels=[128, 256, 512, 512], down_block_types=["DownEncoderBlock2D"] * 4,
    up_block_types=["UpDecoderBlock2D"] * 4, sample_size=256, scaling_factor=0.18215,
)  # fmt: skip
small = dict(
    in_channels=3, out_channels=3, latent_channels=4, layers_per_block=1, norm_num_groups=4, act_fn="silu",
    block_out_channels=[8, 12, 16], down_block_types=["DownEncoderBlock2D"] * 3,
    up_block_types=["UpDecoderBlock2D"] * 3, sample_size=32, scaling_factor=0.5,
)  # fmt: skip
attentive = dict(
    in_channels=1, out_channels=2, latent_channels=3, layers_per_block=2, norm_num_groups=3, act_fn="silu",
    block_out_channels=[6, 12], down_block_types=["DownEncoderBlock2D", "AttnDownEncoderBlock2D"],
    up_block_types=["AttnUpDecoderBlock2D", "UpDecoderBlock2D"], sample_size=16, scaling_factor=0.3611,
    shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False, mid_block_add_attention=False,
)  # fmt: skip


def stable_diffusion_in_ldm_names(vae):
    """Name and shape of each weight in the original's names → diffusers' name, by diffusers' own converter."""
    shape = dict(ch_mult=(1, 2, 4, 4), z_channels=4, attn_resolutions=())
    modules = {"encoder": vae.Encoder(**shape), "decoder": vae.Decoder(**shape)}
    modules |= {"quant_conv": torch.nn.Conv2d(8, 8, 1), "post_quant_conv": torch.nn.Conv2d(4, 4, 1)}
    originals = torch.nn.ModuleDict(modules).state_dict()
    numbers = {name: torch.full(x.shape, float(i)) for i, (name, x) in enumerate(originals.items())}
    number = lambda x: float(x.flatten()[0])
    names = {number(x): name for name, x in convert_ldm_vae_checkpoint(numbers, stable_diffusion).items()}
    return {name: [list(x.shape), names[number(numbers[name])]] for name, x in originals.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mar", required=True, help="a clone of github.com/LTH14/mar")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    sys.path.insert(0, options.mar)
    from models import vae

    torch.set_num_threads(1)
    tensors, weights = {}, {}
    pixels, latents = [1, 3, 64, 48], [1, 4, 8, 6]

    model = AutoencoderKL(**stable_diffusion)
    weights["sd"] = fill(model)
    run(tensors, "sd", model, draw(1, pixels, True), draw(2, latents), diffusers_pass)

    model = vae.AutoencoderKL(embed_dim=16, ch_mult=(1, 1, 2, 2, 4))
    weights["kl16"] = fill(model)
    run(tensors, "kl16", model, draw(3, pixels, True), draw(4, [1, 16, 4, 3]), mar_pass)

    model = AutoencoderKL(**attentive)
    weights["attentive"] = fill(model)
    run(tensors, "attentive", model, draw(5, [3, 1, 12, 20], True), draw(6, [3, 3, 6, 10]), diffusers_pass)

    model = AutoencoderKL(**small)
    weights["small"] = fill(model)
    model.enable_tiling()
    # Tiles start every 6 latents: two whole ones, a shorter one and a sliver each way.
    run(tensors, "small", model, draw(7, [2, 3, 76, 52], True), draw(8, [2, 4, 19, 13]), diffusers_pass)

    versions = {"torch": torch.__version__, "diffusers": diffusers.__version__, "numpy": np.__version__}
    sidecar = {
        "settings": {
            "made_by": "scripts/autoencoder-fixture.py",
            "versions": versions | {"python": platform.python_version(), "mar": "fe470ac"},
            "configs": {"sd": stable_diffusion, "attentive": attentive, "small": small},
            "weights": weights,
            "sd_ldm_names": stable_diffusion_in_ldm_names(vae),
        },
        "tensors": {name: {"shape": list(x.shape)} for name, x in tensors.items()},
    }
    folder = Path(options.out)
    save_file(tensors, str(folder / "autoencoder.safetensors"))
    (folder / "autoencoder.json").write_text(as_lines(sidecar) + "\n")


def as_lines(value, indent=""):
    """JSON with one line for each innermost list or object."""
    if not isinstance(value, dict) or not any(isinstance(item, (dict, list)) for item in value.values()):
        return json.dumps(value)
    inner = indent + "  "
    items = [f"{inner}{json.dumps(key)}: {as_lines(item, inner)}" for key, item in value.items()]
    return "{\n" + ",\n".join(items) + f"\n{indent}" + "}"


if __name__ == "__main__":
    main()
