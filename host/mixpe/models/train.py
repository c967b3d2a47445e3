# SPDX-License-Identifier: BSD-2-Clause
"""Train the packaged language model: ``python -m mixpe.models.train --out FOLDER``.

The run is a function of the seed, the number of steps and the corpus, as far as PyTorch's CPU kernels are
deterministic. ``--budget-s`` picks the number of steps instead: the learning rate stays constant until half of the
time is used, and then decays to zero over as many steps again. The steps so found are printed and stored, so
``--steps`` repeats the run.

A checkpoint is written regularly and at the end, and a run that finds one in its folder goes on from there. The
exported folder (config.json, model.safetensors, manifest.json, training.json) is usable at any of these moments.
"""

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from mixpe.formats import safetensors
from mixpe.models import corpus
from mixpe.models.network import CONFIG, Llama
from mixpe.models.optimizer import make_optimizers

WARM_UP_STEPS = 50
DECAY_FROM    = 0.5   # share of the run after which the learning rate falls linearly to zero


def windows(text, batch, context, seed):
    """Endless batches (b, context + 1) uint8: each epoch cuts the text at a new phase and shuffles the pieces."""
    epoch = 0
    while True:
        rng = np.random.default_rng([seed, epoch])
        starts = np.arange(rng.integers(context), len(text) - context - 1, context)
        rng.shuffle(starts)
        for i in range(0, len(starts) - batch + 1, batch):
            yield text[starts[i:i + batch, None] + np.arange(context + 1)]
        epoch += 1


def rate(step, steps):
    """Learning rate factor: short warm-up, constant, then linear to zero; `steps` is None while still unknown."""
    factor = min(1.0, (step + 1) / WARM_UP_STEPS)
    if steps is not None:
        factor = min(factor, (steps - step) / (steps * (1 - DECAY_FROM)))
    return factor


def bits_per_byte(network, text, context, batch=32, limit=None):
    """Mean cost of each byte of `text` after the first, in windows that overlap by half, in bits."""
    half = context // 2
    total, count = 0.0, 0
    starts = np.arange(0, len(text) - context - 1, half)
    if limit is not None and len(starts) > limit:
        starts = starts[np.linspace(0, len(starts) - 1, limit).astype(int)]
    with torch.no_grad():
        for i in range(0, len(starts), batch):
            piece = torch.from_numpy(text[starts[i:i + batch, None] + np.arange(context + 1)].astype(np.int64))
            logits = network(piece[:, :-1])[:, half:]
            total += functional.cross_entropy(logits.reshape(-1, 256), piece[:, half + 1:].reshape(-1),
                                              reduction="sum").item()
            count += logits.shape[0] * half
    return total / count / math.log(2)


def export(folder, network, manifest, record):
    """Write the folder that `mixpe.LlamaModel.from_pretrained` reads."""
    tensors = {name: p.detach().numpy().astype(np.float16) for name, p in sorted(network.state_dict().items())}
    safetensors.save(folder / "model.safetensors", tensors, {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(network.config, indent=1) + "\n", encoding="utf-8")
    corpus.write_manifest(folder / "manifest.json", manifest)
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def parser():
    p = argparse.ArgumentParser(prog="python -m mixpe.models.train", description=__doc__.split("\n\n")[0])
    p.add_argument("--out",          type=Path, required=True, help="folder for the checkpoint and the model")
    length = p.add_mutually_exclusive_group()
    length.add_argument("--steps",    type=int,   help="length of the run in steps")
    length.add_argument("--budget-s", type=float, default=3600, help="aimed length of the run in seconds (3600)")
    p.add_argument("--library", type=Path, help="folder of .py files to train on (the running interpreter's library)")
    p.add_argument("--seed",         type=int,   default=1)
    p.add_argument("--threads",      type=int,   default=2,    help="PyTorch threads")
    p.add_argument("--batch",        type=int,   default=16,   help="windows a step")
    p.add_argument("--muon-lr",      type=float, default=0.02)
    p.add_argument("--adam-lr",      type=float, default=3e-3)
    p.add_argument("--weight-decay", type=float, default=0.05, help="of the weight matrices, times the learning rate")
    p.add_argument("--save-every-s", type=float, default=120,  help="seconds between checkpoints")
    p.add_argument("--eval-every",   type=int,   default=500,  help="steps between looks at the held-out text")
    p.add_argument("--eval-windows", type=int,   default=512,  help="windows of it, evenly spread")
    return p


def _settings(args):
    """The options that a repetition needs, besides the number of steps."""
    left_out = ("out", "steps", "budget_s", "save_every_s", "library")
    return {name: value for name, value in vars(args).items() if name not in left_out}


class Run:
    """State of a training run: what a checkpoint holds.

    Parameters
    ----------
    args : argparse.Namespace
        Options of `parser`.
    """

    def __init__(self, args):
        torch.manual_seed(args.seed)
        self.args = args
        self.network = Llama(CONFIG)
        self.optimizers = make_optimizers(self.network, args.muon_lr, args.adam_lr, args.weight_decay)
        self._base_lr = [[group["lr"] for group in o.param_groups] for o in self.optimizers]
        self.manifest = corpus.make_manifest(args.library)
        self.step, self.steps, self.used_s = 0, args.steps, 0.0
        self.losses = []
        self.checkpoint = args.out / "checkpoint.pt"

    def resume(self):
        """Go on from the folder's checkpoint, if there is one."""
        if not self.checkpoint.exists():
            return
        saved = torch.load(self.checkpoint, weights_only=True)
        self.network.load_state_dict(saved["network"])
        for o, state in zip(self.optimizers, saved["optimizers"], strict=True):
            o.load_state_dict(state)
        self.step, self.used_s, self.losses = saved["step"], saved["used_s"], saved["losses"]
        self.steps = self.args.steps or saved["steps"]
        print(f"resumed at step {self.step}", flush=True)

    def save(self):
        """Write the checkpoint and the model as it is."""
        state = {"network": self.network.state_dict(), "optimizers": [o.state_dict() for o in self.optimizers],
                 "step": self.step, "steps": self.steps, "used_s": self.used_s, "losses": self.losses}
        temporary = self.checkpoint.with_suffix(".part")
        torch.save(state, temporary)
        os.replace(temporary, self.checkpoint)
        context = CONFIG["max_position_embeddings"]
        export(self.args.out, self.network, self.manifest, {
            **_settings(self.args), "torch": torch.__version__,
            "parameters": sum(p.numel() for p in self.network.parameters()),
            "step": self.step, "steps": self.steps, "seconds": round(self.used_s),
            "train_bytes_seen": self.step * self.args.batch * context, "losses": self.losses,
        })

    def advance(self, piece):
        """One step on windows (b, context + 1) uint8; returns the loss in bits a byte, and the learning-rate factor."""
        factor = rate(self.step, self.steps)
        for o, rates in zip(self.optimizers, self._base_lr, strict=True):
            for group, lr in zip(o.param_groups, rates, strict=True):
                group["lr"] = lr * factor
        piece = torch.from_numpy(piece.astype(np.int64))
        loss = functional.cross_entropy(self.network(piece[:, :-1]).reshape(-1, 256), piece[:, 1:].reshape(-1))
        loss.backward()
        for o in self.optimizers:
            o.step()
            o.zero_grad()
        self.step += 1
        return loss.item() / math.log(2), factor


def train(args):
    """Run the training that `args` asks for, from the start or from the folder's checkpoint."""
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    run = Run(args)
    run.resume()
    text  = np.frombuffer(corpus.load("train", run.manifest, args.library).joined(), np.uint8)
    judge = np.frombuffer(corpus.load("held-out", run.manifest, args.library).joined(), np.uint8)
    context = CONFIG["max_position_embeddings"]
    print(f"{sum(p.numel() for p in run.network.parameters())} parameters, {len(text)} training bytes, "
          f"{len(judge)} held-out bytes", flush=True)

    batches = windows(text, args.batch, context, args.seed)
    for _ in range(run.step):
        next(batches)
    begin, saved_s, recent = time.monotonic() - run.used_s, run.used_s, []
    while run.steps is None or run.step < run.steps:
        if run.steps is None and run.used_s >= DECAY_FROM * args.budget_s:
            run.steps = round(run.step / DECAY_FROM)
            print(f"the run will have {run.steps} steps", flush=True)
        loss, factor = run.advance(next(batches))
        recent.append(loss)
        run.used_s = time.monotonic() - begin
        last = run.step == run.steps
        if run.step % 25 == 0 or last:
            print(f"step {run.step} of {run.steps or '?'}, rate {factor:.3f}, {run.used_s:.0f} s, "
                  f"{1000 * run.used_s / run.step:.0f} ms a step, train {np.mean(recent[-100:]):.4f}", flush=True)
        if run.step % args.eval_every == 0 or last:
            held_out = bits_per_byte(run.network, judge, context, limit=args.eval_windows)
            run.losses.append({"step": run.step, "train": round(float(np.mean(recent)), 4),
                               "held_out": round(held_out, 4), "seconds": round(run.used_s)})
            recent = []
            print(f"step {run.step}, held-out text: {held_out:.4f} bits a byte", flush=True)
        if run.used_s - saved_s > args.save_every_s or last:
            run.save()
            saved_s = run.used_s
    return 0


def main(argv=None):
    return train(parser().parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
