#!/bin/sh
# Makes the models and the files of this folder, after `npm run demo`: recovers its 14 blocks for longer, learns and recovers
# 7 of them, draws with every depth, sampler, number of steps and cache, and times all in turn.
set -e
tinyfusion="node dist/cli/main.js"
recovery="--steps 4000 --batch-size 16 --learning-rate 4e-3 --lr-schedule cosine --final-lr 2e-5 --warmup-steps 20 --ema-decay 0.998 --threads 1"
$tinyfusion finetune runs/demo/pruned.safetensors --teacher models/digits/teacher.safetensors $recovery --out runs/pareto-14
shallow=runs/pareto-14/checkpoints/step-00004000/ema.safetensors
$tinyfusion prune    $shallow --groups 1:2 --steps 300 --batch-size 32 --learning-rate 1e-3 --gate-lr 3e-2 --gate-lr-span 0.6 --threads 1 --out runs/pareto-7-mask
$tinyfusion finetune runs/pareto-7-mask/pruned.safetensors --teacher $shallow $recovery --out runs/pareto-7
$tinyfusion pareto   models/digits/teacher.safetensors --shallow $shallow,runs/pareto-7/checkpoints/step-00004000/ema.safetensors \
                        --samplers ddim,dpm++2m --steps ddim5,ddim10,ddim25 --cache 0,0.3 --cfg 2.5 --count 500 --rounds 3 --out runs/pareto-digits
cp runs/pareto-digits/pareto.png runs/pareto-digits/pareto.svg runs/pareto-digits/pareto.csv runs/pareto-digits/pareto.json docs/pareto-digits/
