# SPDX-License-Identifier: BSD-2-Clause
"""Proofs by SAT that blocks of the gateware do what they promise, whatever comes to their ports and whenever.

    claim     what a proof is made of: inputs that are free, assumptions, assertions, something that is to happen
    solve     a claim to Yosys' solver: for a number of cycles from reset, or by induction for all
    streams   nothing is lost, doubled or put into another order
    control   credits, regions, aborts
    memory    reads and writes: the right words, only within bounds, an end only when all is written
    arithmetic  a processing element's sum is that of the products, for all inputs
    table     all proofs, each with a change of the design that it must notice

`make prove` runs them.
"""
