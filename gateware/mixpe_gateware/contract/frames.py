# SPDX-License-Identifier: BSD-2-Clause
"""Frames of the byte link: what host and bridge agree on, so that damage on the way changes no number.

All words are 32 bits, most significant byte first. CRC-32 is `zlib.crc32`; the payload's goes on from the header's.

    word   to the bridge                              to the host
    0      SYNC_UP                                    SYNC_DOWN
    1      kind, length, number (8, 8, 16 bits)       the same: number of the frame that it answers
    2      session                                    session that the bridge is in
    3      address in words; of START: see there      number that is due
    4      CRC-32 of words 1 … 3                      the same
    5 …    words to write, CRC-32                     words read, CRC-32

A length of 0 is 256 words. The bridge carries a frame out when it came whole, is of its session, and has the number
that is due: once and in order. Each frame that came whole has an answer:

    TAKEN     a write is carried out, after all before it
    DATA      words of a read
    LATE      nothing was done: another number is due. For the last read that was carried out DATA comes again
    FOREIGN   nothing was done: another session
    HERE      to PROBE, START and END, whatever session they name

START opens the session that its word 2 names, and its number is due: but only where word 3 names the session that the
bridge is in, so one that comes late opens nothing. END closes it. Between a START and its END the bridge takes frames
alone; else LiteX's UARTBone too, which no frame of a host that opens a session can be taken for, even damaged: its
bytes are those of `is_calm`.
"""

SYNC_UP   = 0xD6AAC7E5
SYNC_DOWN = 0xE9B4DAC6

FRAMED      = 0x80  # with one of UARTBone's commands 1 … 4: that access
PROBE       = 0xA0
START       = 0xA1
END         = 0xA2
TAKEN       = 0xC0
DATA        = 0xC1
LATE        = 0xC2
FOREIGN     = 0xC3
HERE        = 0xC4

HEADER_WORDS = 5    # the sync word and the CRC among them
FRAME_WORDS  = 256  # of payload, most
NUMBER_BITS  = 16
NUMBER_MASK  = (1 << NUMBER_BITS) - 1
POWER_ON     = 0xC0DEC0DE  # session of a bridge that was reset


def is_calm(data):
    """Whether no byte could begin one of UARTBone's commands."""
    return not any(1 <= byte <= 4 for byte in data)
