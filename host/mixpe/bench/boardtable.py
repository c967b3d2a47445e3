# SPDX-License-Identifier: BSD-2-Clause
"""What is modelled of models on boards, as aligned text."""

from mixpe.terminal import paragraph, size_text, table

COLUMNS = ("model", "weights", "in memory", "load", "tokens/s", "device alone", "ms a token:", "array", "memory",
    "link", "turns", "prompt t/s")


def time_text(seconds):
    """0.2 → ``0.20 s``, 4000 → ``1.1 h``."""
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (float("inf"), 3600, "h")):
        if seconds < limit:
            return f"{seconds/unit:.3g} {name}"
    raise ValueError(seconds)


def rate_text(rate):
    """Three digits, also of what is slow."""
    return f"{rate:.3g}" if rate >= 0.001 else f"{rate:.1e}"


def ms_text(seconds):
    """Milliseconds with three digits, and no exponent."""
    return f"{float(f'{1000*seconds:.3g}'):,.10g}"


def _cells(row):
    parts = [ms_text(seconds) for seconds in (row.token_s, row.array_s, row.memory_s, row.link_s, row.turn_s)]
    return (row.model, size_text(row.weight_bytes), "yes" if row.fits else "does not fit", time_text(row.load_s),
        rate_text(1/row.token_s), rate_text(1/row.device_s), *parts,
        rate_text(1/row.prefill_s) if row.prefill_s else "-")


def aligned(head, rows):
    """A table whose first column stands to the left and all others to the right."""
    return table(head, rows, "<" + ">"*(len(head) - 1))


def board_text(model, rows):
    """One board: a heading that says what is assumed, and a line a model.

    Parameters
    ----------
    model : GenerationModel
    rows : list of Row
    """
    board, config = model.board, model.board.config
    beats = model.timing.read_rate
    where = "fused" if config.fused else "partial sums to the host"
    facts = {
        "clock":  f"{model.clock_hz/1e6:.4g} MHz ({model.clock_text})",
        "array":  f"{config.rows} rows x {config.lanes} lanes, {where}",
        "memory": f"{board.memory.text}; {beats:.3f} beats of {config.port_bits} bits a cycle, {model.memory_text}",
        "link":   f"{model.link} ({model.kind}), a turn taken as {model.turn_s*1e3:g} ms; all requests of the driver",
        "format": f"W4{model.activations.upper()}, G = {model.group_size}; linear layers alone: attention, norms and "
                  f"sampling are the host's",
    }
    lines = [f"{board.title}: modelled, not measured",
        *(paragraph(f"  {name:<7} {text}", " "*10) for name, text in facts.items()), "",
        aligned(COLUMNS, [_cells(row) for row in rows])]
    if any(not row.fits for row in rows):
        lines.append(paragraph(f"does not fit: the weights are more than the {size_text(model.mem_bytes)} of memory; "
            "the rate is what it would be if they did"))
    worst = max(rows, key=lambda row: (row.link_s + row.turn_s)/row.token_s)
    share = (worst.link_s + worst.turn_s)/worst.token_s
    lines.append(paragraph(f"link: bytes at its rate; turns: waits for answers. Together up to {share:.0%} of a token "
        f"({worst.model})."))
    partial = "go back as partial sums, an INT32 a group."
    lines.append(paragraph(f"Results of layers up to k = {config.k_max} go back as FP32, those of longer ones {partial}"
        if config.fused else f"Results {partial}"))
    return "\n".join(lines)


def cpu_text(found, models, rows):
    """A CPU, measured, and boards, modelled, on the same model: tokens a second and for each GB/s of memory.

    Parameters
    ----------
    found : CpuResult
    models : list of GenerationModel
    rows : list of Row
        Of each.
    """
    read  = found.read_bytes_per_s/1e9
    lines = [(f"{found.cpu}, {found.threads} threads", "measured", rate_text(found.tokens_per_s),
        rate_text(found.tokens_per_s), f"{read:.3g}", rate_text(found.per_gb))]
    for model, row in zip(models, rows, strict=True):
        peak = model.board.memory_mbps/1000
        lines.append((model.board.name, "modelled", rate_text(1/row.token_s) + ("" if row.fits else "*"),
            rate_text(1/row.device_s), f"{peak:.3g}", rate_text(1/row.device_s/peak)))
    first = models[0]
    head  = ("one sequence, decoding", "", "tokens/s", "alone", "GB/s", "alone per GB/s")
    notes = (
        (f"{found.model}: {size_text(found.weight_bytes)} of weights in its file, {found.library}; on boards "
         f"W4{first.activations.upper()}, G = {first.group_size}."),
        ("alone: without link and host. GB/s: of a CPU what its threads read, measured; of a board the peak of its "
         "memory's pins."),
        "* the weights do not fit the board's memory; the rate is what it would be if they did.")
    return "\n".join([table(head, lines, "<<>>>>", wrap=(0,)), *map(paragraph, notes)])


def facts(model):
    """A board's name, clock, and how clock, memory and link are known: five cells."""
    routed = "routed" if "routed" in model.clock_text and "not routed" not in model.clock_text else "aim"
    memory = "simulated" if model.memory_measured else "assumed"
    return model.board.name, f"{model.clock_hz/1e6:.4g}", routed, memory, model.link


def all_boards_text(models, rows):
    """One line a board: tokens a second of each model, with a mark where it does not fit.

    Parameters
    ----------
    models : list of GenerationModel
    rows : list of list of Row
        Of each.
    """
    head  = ("board", "MHz", "clock", "memory rate", "link", *(row.model for row in rows[0]))
    lines = []
    for model, found in zip(models, rows, strict=True):
        lines.append((*facts(model), *(rate_text(1/row.token_s) + (" " if row.fits else "*") for row in found)))
    return "\n".join(["tokens a second, decoding: modelled, not measured", aligned(head, lines), *map(paragraph, (
        "* the weights do not fit the board's memory; the rate is what it would be if they did",
        "aim: the clock that the board is built for, not routed; assumed: from another memory, which was simulated",
        "`mixpe bench --board BOARD` shows the parts"))])
