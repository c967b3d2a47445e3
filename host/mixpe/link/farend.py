# SPDX-License-Identifier: BSD-2-Clause
"""The far end of Etherbone in Python, over any link: what the gate and LiteEth's bridge do with a packet.

For models of a link and for tests; the gateware is `mixpe_gateware.link`.
"""

import numpy as np

from mixpe.link.packets import HEADER, NUMBER, PROBE_ANSWER, RECORD, numbered, write_packet
from mixpe_gateware.contract.packetnumbers import COUNTED, NUMBER_MASK, after


class FarEnd:
    """Takes packets, and writes and reads a device for those that are whole and due.

    Parameters
    ----------
    device : Link
        What is behind the bridge.

    Attributes
    ----------
    due : int
        Number that is taken next.
    """

    def __init__(self, device):
        self.device = device
        self.due    = 0

    def act(self, packet):
        """Carry a packet out; returns the answer, or None."""
        head = len(HEADER)
        if len(packet) < head + 4 or len(packet) % 4 or packet[:2] != HEADER[:2]:
            return None
        word  = int.from_bytes(packet[NUMBER], "big")
        probe = bool(packet[2] & 1)
        shown = int.from_bytes(packet[head:head + 4], "big") if probe else word
        writes, reads = packet[head + 2:head + 4]
        if len(packet) != head + 4 if probe else (not writes) == (not reads) or (
                len(packet) != head + RECORD.size + 4*(writes + reads)):
            return None
        if word & COUNTED:
            if shown & NUMBER_MASK != self.due:
                return None
            self.due = after(word & NUMBER_MASK)
        answer = self._probe(packet) if probe else self._record(packet, writes)
        return answer and numbered(answer, self.due)

    def _probe(self, packet):
        return packet[:2] + bytes([packet[2] & 0xF0 | PROBE_ANSWER]) + packet[3:]

    def _record(self, packet, writes):
        addr, *_ = words = np.frombuffer(packet, ">u4", offset=len(HEADER) + 4).astype(np.uint32)
        if writes:
            self.device.write_words(int(addr), words[1:])
            return None
        addrs = words[1:].astype(np.int64)
        if (np.diff(addrs) == 4).all():
            return write_packet(int(addr), self.device.read_words(int(addrs[0]), len(addrs)))
        found = [self.device.read_words(each, 1)[0] for each in addrs.tolist()]
        return write_packet(int(addr), np.array(found, np.uint32))
