# SPDX-License-Identifier: BSD-2-Clause
"""``mixpe info``: what this installation and a device are."""

import json
from importlib import metadata

import mixpe
from mixpe.terminal import paragraph, size_text
from mixpe_gateware.contract.config import OPTIONAL_PARTS
from mixpe_gateware.contract.digest import VERSION, digest

DESCRIPTION = "Print the contract of this installation and, with --device, what a device says about itself."

LINES = (
    ("array",        lambda i: f"{i['rows']} rows x {i['lanes']} lanes, {i['pe']}"),
    ("clock",        lambda i: f"{i['clock_hz']/1e6:g} MHz"),
    ("peak",         lambda i: f"{i['macs_per_cycle']*i['clock_hz']/1e9:.3g} GMAC/s"),
    ("memory port",  lambda i: f"{i['port_bits']} bits x {i['read_ports']}, {i['port_bytes_per_s']/1e6:.4g} MB/s"),
    ("memory",       lambda i: f"{size_text(i['mem_bytes'])} at 0x{i['mem_base']:08x}"),
    ("reduction",    lambda i: f"up to {i['k_max']} a job"),
    ("queue",        lambda i: f"{i['queue_depth']} jobs"),
    ("results",      lambda i: "partial sums, FP32 (fused)" if i["fused"] else "partial sums"),
    ("decoder",      lambda i: f"{i['attention_heads']} heads side by side, context {i['context_max']}" if i["decoder"]
                               else "none"),
    ("weights",      lambda i: f"integer zeros{', real minima, two levels' if i['minima'] else ''}"),
)


def add_parser(subparsers):
    """Add the command to `argparse` sub-parsers."""
    parser = subparsers.add_parser("info", help="what this installation and a device are", description=DESCRIPTION)
    parser.add_argument("--device", metavar="URL",
                        help="reference, sim, serial:///dev/…, serial+tcp://host:port, etherbone://host")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def run(args):
    """Print it; returns the exit status."""
    about = {"mixpe": metadata.version("mixpe"), "contract_version": VERSION, "contract_digest": f"{digest():016x}",
        "optional_digests": {part: f"{digest((part,)):016x}" for part in OPTIONAL_PARTS}}
    if args.device:
        with mixpe.open(args.device) as device:
            about["device"] = device.info()
    if args.json:
        print(json.dumps(about, indent=1))
        return 0
    optional = "".join(f"; with {part} {value}" for part, value in about["optional_digests"].items())
    print(paragraph(f"mixpe {about['mixpe']}, contract version {VERSION} ({about['contract_digest']}{optional})", "  "))
    if args.device:
        print(device_text(about["device"]))
    return 0


def device_text(info):
    """What `Device.info` says, as lines."""
    return "\n".join([info["url"], *(f"  {label:<12} {text(info)}" for label, text in LINES)])
