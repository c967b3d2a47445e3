# SPDX-License-Identifier: BSD-2-Clause
"""What each fault makes of a stream, however it is cut into pieces."""

import random

import pytest

from mixpe_sim.faults.fault import KINDS, Fault, FaultyStream, random_fault

DATA = bytes(range(1, 41))
WANTED = {
    "flip":      DATA[:10] + bytes([DATA[10] ^ 8]) + DATA[11:],
    "drop":      DATA[:10] + DATA[15:],
    "double":    DATA[:15] + DATA[10:],
    "insert":    DATA[:10] + b"noise" + DATA[10:],
    "delay":     DATA,
    "reorder":   DATA[:10] + DATA[15:20] + DATA[10:15] + DATA[20:],
    "cut":       DATA[:10],
    "half-open": DATA[:10],
}


def carried(stream, pieces):
    """What comes out until the connection is cut, and all delays."""
    out, waited = b"", 0.0
    for piece in pieces:
        part, delay_s, is_cut = stream.carry(piece)
        out, waited = out + part, waited + delay_s
        if is_cut:
            break
    return out, waited


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cuts", [(), (10,), (12,), (20,), (3, 11, 19, 25), tuple(range(1, 40))])
def test_each_kind(kind, cuts):
    edges  = (0, *cuts, len(DATA))
    pieces = [DATA[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    stream = FaultyStream()
    stream.arm(Fault(kind, "up", 10, 5, bit=3, delay_s=0.5, noise=b"noise"))
    out, waited = carried(stream, pieces)
    assert out == WANTED[kind] and stream.struck
    assert waited == (0.5 if kind == "delay" else 0.0)
    assert carried(stream, [b"more"])[0] == (b"" if kind == "half-open" else b"more")
    stream.arm(None)
    assert carried(stream, pieces)[0] == DATA and stream.carried == len(DATA)


def test_random_faults_are_of_all_kinds_and_within_the_bytes():
    rng    = random.Random(1)
    faults = [random_fault(rng, {"up": 100, "down": 7}) for _ in range(500)]
    assert {fault.kind for fault in faults} == set(KINDS)
    assert max(fault.offset for fault in faults if fault.direction == "down") == 6
    assert max(fault.offset for fault in faults if fault.direction == "up") > 90
