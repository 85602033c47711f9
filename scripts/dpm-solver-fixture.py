"""Makes test/golden/dpm-solver.safetensors and .json: trajectories of diffusers' DPM-Solver++(2M) on a model that is a formula.

    OMP_NUM_THREADS=1 python scripts/dpm-solver-fixture.py --out test/golden

Needs torch, diffusers, safetensors and numpy. The scheduler is told the timesteps of our schedules and the same betas in
float64; states are float64 here, so that what is left of a difference is ours. `epsilon` is the model; the same formula
stands in `test/diffusion/dpm-solver.test.ts`.
"""

import argparse
import json
import math
import platform
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler
from safetensors.numpy import save_file

STEPS = 1000
SHAPE = (3, 2, 2, 3)
RUNS = {
    "linear-10": ("linear", 10),
    "linear-20": ("linear", 20),
    "cosine-10": ("squaredcos_cap_v2", 10),
    "cosine-20": ("squaredcos_cap_v2", 20),
}


def epsilon(x, t):
    """Noise as the toy model predicts it."""
    return torch.tanh(0.7 * x + t / STEPS) * (0.9 - 0.3 * t / STEPS) + 0.1 * x


def betas(schedule):
    if schedule == "linear":
        return np.linspace(1e-4, 0.02, STEPS)
    alpha_bar = [math.cos((i / STEPS + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(STEPS + 1)]
    return np.array([min(1 - alpha_bar[i + 1] / alpha_bar[i], 0.999) for i in range(STEPS)])


def trajectory(schedule, timesteps, start):
    scheduler = DPMSolverMultistepScheduler(
        num_train_timesteps=STEPS, algorithm_type="dpmsolver++", solver_order=2, solver_type="midpoint"
    )
    scheduler.alphas_cumprod = torch.from_numpy(np.cumprod(1 - betas(schedule)))
    scheduler.set_timesteps(timesteps=[int(t) for t in timesteps])
    scheduler.sigmas = torch.from_numpy(
        np.append(np.sqrt(1 / scheduler.alphas_cumprod.numpy()[timesteps] - 1), 0.0)
    )  # set_timesteps rounds them to float32
    x, states = start.double(), []
    for t in scheduler.timesteps:
        x = scheduler.step(epsilon(x, t.double()), t, x).prev_sample
        states.append(x.clone())
    return torch.stack(states)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    folder = Path(parser.parse_args().out)
    start = torch.from_numpy(np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32))
    tensors = {"x_T": start.numpy()}
    for name, (schedule, count) in RUNS.items():
        timesteps = np.rint(np.linspace(0, STEPS - 1, count)).astype(np.int64)[::-1]
        tensors[f"{name}/timesteps"] = timesteps.astype(np.int32)
        tensors[f"{name}/trajectory"] = trajectory(schedule, timesteps, start).numpy().astype(np.float32)
    tensors = {name: np.ascontiguousarray(x) for name, x in tensors.items()}
    sidecar = {
        "settings": {
            "made_by": "scripts/dpm-solver-fixture.py",
            "versions": {
                "torch": torch.__version__,
                "diffusers": diffusers.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            "steps": STEPS,
            "runs": {name: {"schedule": schedule, "respacing": str(count)} for name, (schedule, count) in RUNS.items()},
        },
        "expected": {},
        "tensors": {name: {"shape": list(x.shape)} for name, x in tensors.items()},
    }
    save_file(tensors, str(folder / "dpm-solver.safetensors"))
    (folder / "dpm-solver.json").write_text(json.dumps(sidecar, indent=2) + "\n")


if __name__ == "__main__":
    main()
