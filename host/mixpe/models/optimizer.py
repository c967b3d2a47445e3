# SPDX-License-Identifier: BSD-2-Clause
"""Muon for the hidden matrices, AdamW for the rest.

Muon is momentum whose update of a weight matrix is replaced by the nearest semi-orthogonal matrix.

Source: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024 (method and the
coefficients of the quintic Newton-Schulz iteration).
"""

import torch

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(update, steps=5):
    """Bring all singular values of `update` (rows, columns) near 1 with a Newton-Schulz iteration."""
    a, b, c = _COEFFICIENTS
    x = update.T if update.shape[0] > update.shape[1] else update
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if update.shape[0] > update.shape[1] else x


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay, for the hidden 2-D weights.

    Parameters
    ----------
    lr : float
        The update of a (rows, columns) matrix has spectral norm near lr · sqrt(max(1, rows/columns)).
    weight_decay : float
        Each step shrinks the weights by lr · weight_decay.
    """

    def __init__(self, params, lr=0.02, momentum=0.95, weight_decay=0.05):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                average = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalise(p.grad.lerp(average, group["momentum"]))
                scale = max(1.0, p.shape[0] / p.shape[1]) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)


def make_optimizers(network, muon_lr, adam_lr, weight_decay):
    """Optimisers of a `network.Llama`: Muon for the decoder's matrices, AdamW for embedding, head and norms.

    Both shrink matrices by muon_lr · weight_decay a step; the norms are not shrunk.
    """
    hidden = [p for name, p in network.named_parameters() if p.ndim == 2 and ".layers." in name]
    outer  = [network.model.embed_tokens.weight, network.lm_head.weight]
    norms  = [p for p in network.parameters() if p.ndim < 2]
    return [
        Muon(hidden, lr=muon_lr, weight_decay=weight_decay),
        torch.optim.AdamW([{"params": outer, "weight_decay": weight_decay * muon_lr / adam_lr},
                           {"params": norms, "weight_decay": 0.0}], lr=adam_lr, betas=(0.9, 0.95), eps=1e-10),
    ]
