# SPDX-License-Identifier: BSD-2-Clause
"""The linear layers of a PyTorch model on a device: python examples/pytorch_model.py [URL]."""

import sys

import torch
from torch import nn

import mixpe

url = sys.argv[1] if len(sys.argv) > 1 else "reference"
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(256, 512), nn.GELU(), nn.Linear(512, 128))
x     = torch.randn(8, 256)

with torch.no_grad(), mixpe.open(url) as device:
    wanted = model(x)
    mixpe.torch.offload(model, device, group_size=64, activations="a16")
    print(model)
    found = model(x)
    mixpe.torch.release(model)
print(f"root mean square of the difference: {100*((found - wanted).std()/wanted.std()).item():.2f} % of the output")
