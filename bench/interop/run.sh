#!/bin/sh
# Do our .pt files and diffusers folders give our outputs in the real torch and diffusers? Run from the repository:
#     bench/interop/run.sh [MODELS_PY] | tee bench/interop/run.log
# MODELS_PY is models.py of facebookresearch/DiT; without it that is fetched into a temporary folder.
# PYTHON (default python3) needs torch, timm, diffusers, accelerate and safetensors.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
models=${1:-}
if [ -z "$models" ]; then
  models=$work/models.py
  curl -fsSL -o "$models" https://raw.githubusercontent.com/facebookresearch/DiT/ed81ce2229091fd4ecc9a223645f95cf379d582b/models.py
fi
node --import tsx bench/interop/diffusers-save.ts "$work/made" 2>&1 | sed "s|$work/made|DIR|g"
"${PYTHON:-python3}" bench/interop/diffusers-load.py "$work/made" "$models" 2>&1
