# SPDX-License-Identifier: BSD-2-Clause
"""Options of all commands that load a language model."""

from mixpe.lm.model import DECODERS
from mixpe.plan.kinds import KINDS


def add_model_options(parser, *, activations="a16", decoder="auto"):
    """Where a model runs, and how its weights are rounded where they are not taken as they are.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    activations : str
        What the help says of their default.
    decoder : str
        Default of ``--decoder``.
    """
    parser.add_argument("--device", default="reference", metavar="URL",
                        help="reference (default), sim, serial:///dev/…, serial+tcp://host:port, etherbone://host; "
                             "'none' computes in float32 on the host")
    parser.add_argument("--activations", choices=KINDS, help=f"format of the activations ({activations})")
    parser.add_argument("--group-size", type=int, default=128, metavar="G",
                        help="weights that share a scale, where the model has floats (128)")
    parser.add_argument("--bits", type=int, default=4, choices=(4, 8),
                        help="of a weight, where the model has floats (4)")
    parser.add_argument("--head-bits", type=int, choices=(4, 8),
                        help="round the output head to so many bits, whatever it is stored as")
    parser.add_argument("--head-group-size", type=int, default=32, metavar="G",
                        help="weights of such a head that share a scale (32)")
    parser.add_argument("--stream", action="store_true",
                        help="send layers that do not fit the device's memory each time that they are needed")
    parser.add_argument("--decoder", default=decoder, choices=DECODERS,
                        help="where all between the linear layers runs: on the device's decoder, where tokens alone "
                             f"cross the link (device), there if it can (auto), or on the host; default {decoder}")
    parser.add_argument("--context", type=int, metavar="N", help="positions of a text on such a device (what it has)")


def add_sampling_options(parser):
    """How tokens are chosen."""
    parser.add_argument("--temperature", type=float, default=0.0, metavar="T",
                        help="0 takes the likeliest token (default)")
    parser.add_argument("--top-p", type=float, default=1.0, metavar="P", help="draw from the likeliest share P (1)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the draws (0)")


def model_options(args):
    """What `LlamaModel.from_pretrained` takes of them beside the device: dict."""
    names = ("activations", "group_size", "bits", "head_bits", "head_group_size", "stream", "decoder", "context")
    return {name: getattr(args, name) for name in names}
