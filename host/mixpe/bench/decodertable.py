# SPDX-License-Identifier: BSD-2-Clause
"""What is modelled of models on boards whose device has the decoder, as aligned text."""

from mixpe.bench.boardtable import aligned, facts, ms_text, rate_text
from mixpe.bench.ondevice import POSITION
from mixpe.lm.generation import RUN_TOKENS
from mixpe.terminal import paragraph, size_text

COLUMNS = ("model", "position", "weights", "in memory", "tokens/s", "device alone", "a GB/s", "cycles", "array")


def decoder_text(model, rows):
    """One board: a line a model.

    Parameters
    ----------
    model : DecoderModel
    rows : list of DecoderRow
    """
    config = model.board.config
    names  = list(dict.fromkeys(name for row in rows for name in row.functions))
    lines  = [(row.model, str(row.position), size_text(row.weight_bytes), "yes" if row.fits else "does not fit",
        rate_text(1/row.token_s), rate_text(1/row.device_s), rate_text(row.per_gb_s), f"{row.cycles:,.0f}",
        f"{row.array/row.cycles:.0%}", *(f"{row.functions.get(name, 0)/row.cycles:.1%}" for name in names))
        for row in rows]
    link_s, link_bytes = model.link_cost()
    heads = {
        "decoder": f"on the device, {model.activations.upper()}; attention takes {config.attention_lanes} elements of "
                   f"{config.attention_heads} heads a cycle",
        "array":   f"{config.rows} rows x {config.lanes} lanes, fused",
        "clock":   f"{model.clock_hz/1e6:.4g} MHz ({model.clock_text})",
        "link":    f"{link_bytes:.0f} bytes and {ms_text(link_s)} ms a token, in runs of {RUN_TOKENS}",
    }
    return "\n".join([*(paragraph(f"  {name:<7} {text}", " "*10) for name, text in heads.items()), "",
        aligned((*COLUMNS, *names), lines),
        paragraph("a GB/s: tokens a second for each GB/s of the memory's pins; array: takes weights; then where the "
            "cycles go, each with the oldest record that is under way")])


def _rate(row):
    return "-" if row is None else rate_text(1/row.token_s) + (" " if row.fits else "*")


def all_decoders_text(boards, models, rows, names):
    """One line a board: tokens a second of each model, with a mark where it does not fit.

    Parameters
    ----------
    boards : list of mixpe_boards.board.Board
    models : list of DecoderModel or None
        Of each; None: it has no room for the decoder.
    rows : list of list of DecoderRow or None
        Of each; a row is None where the device cannot run the model.
    names : list of str
        Of the models.
    """
    kinds = "/".join(dict.fromkeys(model.activations.upper() for model in models if model is not None))
    lines = []
    for board, model, found in zip(boards, models, rows, strict=True):
        if model is None:
            lines.append((board.name, "no room", "", "", "", *["-"]*len(names)))
        else:
            lines.append((*facts(model), *map(_rate, found)))
    notes = ["-: no room for the decoder, or the device does not run the model; the host's decoder is above"]
    every = [row for found in rows for row in found or () if row is not None]
    for name in dict.fromkeys(row.model for row in every):
        found = [row for row in every if row.model == name]
        rates = ", ".join(f"{row.board} {row.per_gb_s:.3g}" for row in found)
        size  = f"{found[0].weight_bytes/1e6:.1f} MB of weights"
        notes.append(f"{name}: {size}; for each GB/s of the memory's pins {rates}")
    return "\n".join([
        paragraph(f"tokens a second with the decoder on the device, {kinds}, at position {POSITION} or in the middle "
            "of a shorter context: modelled, not measured"),
        aligned(("board", "MHz", "clock", "memory rate", "link", *names), lines), *map(paragraph, notes)])
