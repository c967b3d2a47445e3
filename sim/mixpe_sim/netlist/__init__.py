# SPDX-License-Identifier: BSD-2-Clause
"""A board's synthesised netlist, the one that is routed, at work in Verilator: ``python -m mixpe_sim.netlist BOARD``.

    host ──TCP──► UART ──► pin ─┐ netlist of the vendor's cells ┌─ pin ──► UART ──TCP──► host
                                └── as Yosys leaves it, with ───┘
                                    the vendor's cell models ───── pins ── SDR memory

What synthesis does to a design shows here and in no simulation of its source. A PLL is a wire: the pin of the clock
runs at the system clock. Of cells that Yosys has as black boxes, and of the memory's chip, the models are in `models/`.
"""
