# SPDX-License-Identifier: BSD-2-Clause
"""``python -m mixpe_sim.proofs [NAME …]``: prove all, have each mutation refuted, print a table."""

import argparse
import sys
import time

from mixpe.errors import MixpeError
from mixpe.progress import Progress
from mixpe_sim.proofs.solve import Refuted
from mixpe_sim.proofs.table import PROOFS


def main(arguments=None):
    """Exit status 1 if something is not proved, or a mutation is not refuted."""
    parser = argparse.ArgumentParser(prog="python -m mixpe_sim.proofs", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PROOFS)} (all)")
    names = parser.parse_args(arguments).names or list(PROOFS)
    for name in names:
        if name not in PROOFS:
            parser.error(f"there is no proof {name!r}; there are {', '.join(PROOFS)}")
    rows, failed = [], False
    with Progress("prove", 2*len(names), "runs") as bar:
        for name in names:
            proof, begun = PROOFS[name], time.monotonic()
            bar.label = name
            try:
                proof.run()
                result = f"proved for {proof.cycles} cycles" if not proof.last else "proved for all inputs"
            except MixpeError as error:
                result, failed = str(error), True
            bar.advance(1)
            try:
                proof.run(mutated=True)
                result, failed = f"{result}, but its mutation too", True
            except Refuted:
                pass
            except MixpeError as error:
                result, failed = f"{result}; its mutation: {error}", True
            bar.advance(1)
            rows.append((name, proof.claim, result, f"{time.monotonic() - begun:.0f} s"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for name, claim, result, took in rows:
        print(f"{name:<{widths[0]}}  {claim:<{widths[1]}}  {result.splitlines()[0]:<{min(widths[2], 24)}}  {took}")
        if "\n" in result:
            print(result)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
