#!/usr/bin/env python3
"""Writes test/formats/script-module.pt: a small TorchScript archive with nested modules and lists.

Needs torch. Run it from the root of the repository:
    python scripts/script-module-fixture.py
Parameters and buffers count up from 0, each from where the one before ended.
"""
from collections import OrderedDict

import torch


class Layer(torch.nn.Module):
    """A unit in the manner of NVIDIA's `inception-2015-12-05.pt`."""

    def __init__(self, inputs, outputs, kernel, padding=0):
        super().__init__()
        self.padding = padding
        self.weight = torch.nn.Parameter(torch.zeros(outputs, inputs, *kernel))
        for name in ("beta", "mean", "var"):
            self.register_buffer(name, torch.zeros(outputs))

    def forward(self, x):
        y = torch.nn.functional.conv2d(x, self.weight.to(x.dtype), padding=self.padding)
        return torch.nn.functional.batch_norm(y, self.mean, self.var, bias=self.beta, eps=0.001)


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        tower = torch.nn.Sequential(OrderedDict(conv=Layer(3, 1, (1, 1)), conv_1=Layer(1, 2, (1, 3), [0, 1])))
        self.layers = torch.nn.Sequential(OrderedDict(conv=Layer(2, 3, (1, 1)), tower=tower, pool=torch.nn.MaxPool2d(2)))
        self.output = torch.nn.Linear(2, 4)
        self.scales: list[float] = [0.5, 2.0]

    def forward(self, x):
        return self.output(self.layers(x).mean([2, 3])) * self.scales[0]


network = Network().eval()
count = 0
for _, value in network.state_dict().items():
    value.copy_(torch.arange(count, count + value.numel()).reshape(value.shape))
    count += value.numel()
torch.jit.script(network).save("test/formats/script-module.pt")
