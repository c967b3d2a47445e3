# SPDX-License-Identifier: BSD-2-Clause
"""Etherbone's packets, as LiteEth's bridge speaks them behind its gate.

    header   4e6f, version and flags, sizes, and in the four bytes that pad it the packet's number
    record   either words to write from an address on, or addresses to read and a return address, which the bridge sends
             back with the words: it is never used as one, so it is the request's name here
    probe    a header with the probe flag, and one word, which comes back

Source: LiteEth 2024.12, liteeth/frontend/etherbone.py; `contract.packetnumbers` for the number.
"""

import struct
from dataclasses import dataclass

import numpy as np

from mixpe_gateware.contract.packetnumbers import COUNTED, NUMBER_MASK

HEADER       = struct.pack(">HBBI", 0x4E6F, 0x10, 0x44, 0)  # magic, version 1, 32-bit addresses and words, number
PROBE        = struct.pack(">HBBI", 0x4E6F, 0x11, 0x44, 0)
PROBE_ANSWER = 0x02                     # of the flags, in byte 2
NUMBER       = slice(4, 8)              # in a packet
RECORD       = struct.Struct(">BBBBI")  # flags, byte enables, words written, words read, base or return address
WORDS_MAX    = 255                      # of a record


@dataclass(frozen=True)
class Answer:
    """What the far end sent.

    Attributes
    ----------
    name : int
        Of the request, or a probe's word.
    words : (n,) uint32 or None
        What was read; None where it answers a probe.
    due : int or None
        Number that the far end takes next; None where it does not count.
    """

    name: int
    words: np.ndarray | None
    due: int | None


def write_packet(addr, words):
    """One packet that writes up to 255 words, (n,) uint32, from a byte address on."""
    return HEADER + RECORD.pack(0, 0xF, len(words), 0, addr) + words.astype(">u4").tobytes()


def read_packet(name, addrs):
    """One packet that asks for the words at up to 255 byte addresses, (n,) uint32."""
    return HEADER + RECORD.pack(0, 0xF, 0, len(addrs), name) + addrs.astype(">u4").tobytes()


def probe_packet(word):
    """One packet that asks what is due; the answer has the same word."""
    return PROBE + word.to_bytes(4, "big")


def numbered(packet, number):
    """A packet with its number."""
    return packet[:NUMBER.start] + (COUNTED | number).to_bytes(4, "big") + packet[NUMBER.stop:]


def start_packet(number, due):
    """One packet that begins a session: the number after this one is due, if the far end still takes `due` next."""
    return numbered(probe_packet(COUNTED | due), number)


def parse_answer(packet):
    """The `Answer` in a packet; None for what is none."""
    head = len(HEADER)
    if len(packet) < head + 4 or packet[:2] != HEADER[:2]:
        return None
    word = int.from_bytes(packet[NUMBER], "big")
    due  = word & NUMBER_MASK if word & COUNTED else None
    if packet[2] & PROBE_ANSWER:
        return Answer(int.from_bytes(packet[head:head + 4], "big"), None, due)
    start = head + RECORD.size
    if len(packet) < start:
        return None
    _flags, _enables, count, _reads, name = RECORD.unpack_from(packet, head)
    if not count or len(packet) < start + 4*count:
        return None
    return Answer(name, np.frombuffer(packet, ">u4", count, start).astype(np.uint32), due)
