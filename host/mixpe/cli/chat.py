# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe chat``: a conversation with a language model, its linear layers on a device."""

import sys
from contextlib import closing

from mixpe.cli.modeloptions import add_model_options, add_sampling_options, model_options
from mixpe.cli.prompt import history_file, line_editing
from mixpe.errors import MixpeError
from mixpe.lm import LlamaModel, checkpoint
from mixpe.lm.conversation import Conversation
from mixpe.lm.text import tokenizer_of

DESCRIPTION = """\
Talk with a model that has a chat template. Answers appear as they are made, with their tokens a second below; Ctrl-C
ends an answer, /reset forgets the conversation, /exit or Ctrl-D leaves. The arrow keys find earlier messages, also
those of the last time, which are kept for their owner alone. With --prompt one message is answered."""

HELP = "/exit leaves, /reset forgets the conversation"


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    p = subparsers.add_parser("chat", help="a conversation with a language model", description=DESCRIPTION)
    p.add_argument("--model", default="smollm2", metavar="MODEL", help="name, folder or file (smollm2)")
    add_model_options(p)
    add_sampling_options(p)
    p.add_argument("--prompt", metavar="TEXT", help="answer this and leave")
    p.add_argument("--system", metavar="TEXT", help="what the model is told first")
    p.add_argument("--tokens", type=int, default=512, metavar="N", help="most tokens of an answer (512)")
    p.add_argument("--no-history", action="store_true", help="do not keep what is typed for the next time")
    p.add_argument("--stats", action="store_true", help="say what an answer cost, on standard error")
    return p


def _speed(found):
    """One line on what an answer took."""
    rate = f", {found.decode.tokens/found.decode.seconds:,.1f} a second" if found.decode.tokens else ""
    return f"[{found.generated} tokens{rate}; the first after {found.prefill.seconds:.3g} s]"


def _answer(conversation, text, args):
    """Print an answer as it is made."""
    pieces = conversation.ask(text, args.tokens, temperature=args.temperature, top_p=args.top_p, seed=args.seed)
    with closing(pieces):
        try:
            for piece in pieces:
                print(piece, end="", flush=True)
        except KeyboardInterrupt:
            if args.prompt is not None:
                raise
    print(flush=True)
    if args.stats:
        print(conversation.generation.statistics().table(), file=sys.stderr)
    elif args.prompt is None and sys.stderr.isatty():
        print(_speed(conversation.generation.statistics()), file=sys.stderr)


def _talk(model, args):
    """Read and answer messages until the user leaves."""
    terminal = sys.stdin.isatty()
    print(f"{args.model} on {args.device}; {HELP}", file=sys.stderr)
    conversation = Conversation(model, args.system)
    while True:
        try:
            text = input("> " if terminal else "").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if text == "/exit":
            return
        if text == "/reset":
            conversation.reset()
        elif text.startswith("/"):
            print(f"there is no {text.split()[0]}; {HELP}", file=sys.stderr)
        elif text:
            try:
                _answer(conversation, text, args)
            except MixpeError as error:
                print(f"mixpe: error: {' '.join(str(error).split())}", file=sys.stderr)


def run(args):
    """Talk; returns the exit status."""
    opened    = checkpoint.opened(args.model)
    tokenizer = tokenizer_of(opened)  # what is missing is said before the weights are loaded
    device    = None if args.device == "none" else args.device
    with LlamaModel.from_pretrained(opened, device, **model_options(args)) as model:
        model.tokenizer = tokenizer
        if args.prompt is None:
            with line_editing(None if args.no_history else history_file("chat")):
                _talk(model, args)
        else:
            _answer(Conversation(model, args.system), args.prompt, args)
    return 0
