# SPDX-License-Identifier: BSD-2-Clause
"""Faults on the link: `python -m mixpe_sim.faults`; ends with 1 when a trial failed. Ctrl-C shows those so far."""

import argparse
import json
import sys
import time

from mixpe.errors import MixpeError
from mixpe.link.byteend import ByteEnd, FrameEnd
from mixpe_gateware.contract.config import Config
from mixpe_sim.faults.campaign import FAILURES, RIGHT, TYPED, Campaign
from mixpe_sim.faults.fault import KINDS
from mixpe_sim.faults.proxy import Proxy
from mixpe_sim.faults.reference import ReferencePort
from mixpe_sim.faults.workload import Workload

REFERENCE = Config(rows=4, port_bits=64, k_max=2048, buffer_beats=64, decoder=True, context_max=256)
SIMULATED = {"memory": "sdr32", "rows": 2, "k_max": 512, "buffer_beats": 64, "queue_depth": 4, "scalers": 1}
MEM_BYTES = 16 << 20


def parser():
    made = argparse.ArgumentParser(prog="python -m mixpe_sim.faults", description=__doc__)
    made.add_argument("--device", choices=("reference", "sim"), default="reference",
        help="the reference device with a bridge in Python, or the simulated SoC (reference)")
    made.add_argument("--plain", action="store_true", help="LiteX's UARTBone instead of frames, for comparison")
    made.add_argument("--trials", type=int, default=1000, metavar="N", help="faults that strike (1000)")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="of the faults (0)")
    made.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, metavar="KIND",
        help=f"of faults: {', '.join(KINDS)} (all)")
    made.add_argument("--verify", choices=("all", "weights"), default="all", help="what the driver checks (all)")
    made.add_argument("--timeout-s", type=float, metavar="S", help="of the link (1; 5 for sim)")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def show(report, seconds):
    """Print a report as a table."""
    names = (RIGHT, TYPED, *FAILURES)
    width = max(map(len, KINDS)) + 2
    print("".ljust(width) + "".join(f"{name:>23}" for name in names))
    for kind, counts in [*report.by_kind.items(), ("all", report.counts)]:
        print(kind.ljust(width) + "".join(f"{counts[name]:>23,}" for name in names))
    print(f"errors: {', '.join(f'{name} {count}' for name, count in report.errors.most_common()) or 'none'}; "
          f"slowest {report.slowest_s:.2f} s; {seconds:.0f} s")
    for line in report.failures[:40]:
        print(line)


def campaign_on(proxy, args):
    """The campaign of the command line."""
    is_sim = args.device == "sim"
    timeout_s, limit_s = (5.0, 60.0) if is_sim else (1.0, 20.0)
    return Campaign(proxy, Workload(decoder=not is_sim), seed=args.seed, timeout_s=args.timeout_s or timeout_s,
        limit_s=limit_s, kinds=tuple(args.kinds), verify=args.verify)


def main():
    """Read the command line, run the trials, print what came of them."""
    args = parser().parse_args()
    if args.device == "sim":
        from mixpe_sim.process import open_sim
        far = open_sim(framed=not args.plain, **SIMULATED)
    else:
        far = ReferencePort(REFERENCE, MEM_BYTES, ByteEnd if args.plain else FrameEnd)
    proxy, start = Proxy(far.port), time.monotonic()

    def progress(done, report):
        if sys.stderr.isatty() or done % 100 == 0:
            print(f"{done} of {args.trials} faults, {report.failed} failed", file=sys.stderr, flush=True)

    campaign = campaign_on(proxy, args)
    try:
        campaign.run(args.trials, progress)
    except KeyboardInterrupt:
        pass
    except MixpeError as error:
        show(campaign.report, time.monotonic() - start)
        sys.exit(f"mixpe_sim.faults: {error}")
    finally:
        proxy.close()
        far.close()
    report  = campaign.report
    seconds = time.monotonic() - start
    if args.json:
        print(json.dumps({"counts": report.counts, "by_kind": report.by_kind, "errors": report.errors,
            "failures": report.failures, "slowest_s": report.slowest_s, "seconds": seconds}))
    else:
        show(report, seconds)
    sys.exit(bool(report.failed))


if __name__ == "__main__":
    main()
