# SPDX-License-Identifier: BSD-2-Clause
"""Pareto front: the rows that no other row beats in both of two columns."""


def front(rows, first, second):
    """Rows that are not dominated, larger being better in both columns, ordered by `first`.

    Rows where either is None are left out.
    """
    known = [row for row in rows if row.get(first) is not None and row.get(second) is not None]
    kept = []
    for row in known:
        beaten = any(other[first] >= row[first] and other[second] >= row[second]
                     and (other[first] > row[first] or other[second] > row[second]) for other in known)
        if not beaten:
            kept.append(row)
    return sorted(kept, key=lambda row: row[first])
