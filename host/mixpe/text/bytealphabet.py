# SPDX-License-Identifier: BSD-2-Clause
"""The alphabet of byte-level BPE: one printable character a byte, so that vocabularies can be stored as text.

Printable Latin-1 characters stand for themselves, the other 68 bytes for U+0100 and on.

Source: `bytes_to_unicode` in encoder.py of https://github.com/openai/gpt-2.
"""

_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_REST      = [byte for byte in range(256) if byte not in _PRINTABLE]

BYTE_OF = {chr(byte): byte for byte in _PRINTABLE} | {chr(0x100 + i): byte for i, byte in enumerate(_REST)}


def to_bytes(token):
    """Bytes of a token's text; a token with another character stands for its own UTF-8, as in `tokenizers`."""
    try:
        return bytes([BYTE_OF[character] for character in token])
    except KeyError:
        return token.encode()
