# SPDX-License-Identifier: BSD-2-Clause
"""The BPE of sentencepiece: of all neighbours whose union is a token, the one of the highest score is merged first.

Source: src/bpe_model.cc of https://github.com/google/sentencepiece.
"""

import heapq


def merge(symbols, tokens):
    """Merge neighbours until no union is a token.

    Parameters
    ----------
    symbols : list of str or of bytes
        A text in pieces that are not divided further, usually characters.
    tokens : dict of union → (float, int)
        Score and id of what may come from a merge. Of equal scores, the leftmost is merged.

    Returns
    -------
    list
        The pieces that remain, in order.
    """
    symbols = list(symbols)
    left    = list(range(-1, len(symbols) - 1))
    right   = [*range(1, len(symbols)), -1]
    waiting = []

    def propose(a, b):
        if a >= 0 and b >= 0:
            union = symbols[a] + symbols[b]
            found = tokens.get(union)
            if found is not None:
                heapq.heappush(waiting, (-found[0], a, b, len(union)))

    for i in range(len(symbols) - 1):
        propose(i, i + 1)
    while waiting:
        _, a, b, length = heapq.heappop(waiting)
        # Either one may have grown or gone since.
        if symbols[a] is None or symbols[b] is None or len(symbols[a]) + len(symbols[b]) != length or right[a] != b:
            continue
        symbols[a] += symbols[b]
        symbols[b] = None
        right[a] = right[b]
        if right[a] >= 0:
            left[right[a]] = a
        propose(left[a], a)
        propose(a, right[a])
    return [symbol for symbol in symbols if symbol is not None]
