# SPDX-License-Identifier: BSD-2-Clause
"""Test of an open device: link, memory, checksum unit, array. What was in its memory is lost.

    with mixpe.open("serial:///dev/ttyUSB0") as device:
        for check in run_selftest(device):
            print(check)
"""

import time
import zlib
from dataclasses import dataclass

import numpy as np

from mixpe.devices.device import Device
from mixpe.devices.driver import driver_of
from mixpe.errors import MixpeError
from mixpe.progress import Progress
from mixpe.quant.quantize import quantize, quantize_activations
from mixpe.reference.device import ReferenceLink
from mixpe_gateware.contract.registers import OFFSETS
from mixpe_gateware.contract.scaling import FACTOR_BITS, SUPERBLOCK_GROUPS, Form, groups_along

SEED         = 1
LINK_WORDS   = 64
BLOCK_BYTES  = 4096   # patterns at each place in memory
SHOWN_BYTES  = 4      # differences that a message names
WALKING      = [1 << bit for bit in range(32)] + [0xFFFFFFFF ^ 1 << bit for bit in range(32)]

# Layers of the array's test: (bits, group size, symmetric, activations, form). Shapes come from the device.
MODES = [
    *((*mode, Form.ZERO) for mode in (
        (4, 128,  False, "a8"), (4, 128, True, "a8"), (4, 32, False, "a8"), (4, 256, False, "a8"),
        (4, None, False, "a8"), (4, 64, False, "a16"), (4, 128, False, "a16"), (8, 128, False, "a8"),
        (8, 64, True, "a16"), (4, 32, False, "a8g"), (8, 64, False, "a8g"))),
    (4, 32, False, "a8", Form.MINIMUM),   (8, 128, False, "a16", Form.MINIMUM),
    (4, 32, False, "a8", Form.TWO_LEVEL), (8, 32,  False, "a16", Form.TWO_LEVEL),
]


@dataclass(frozen=True)
class Check:
    """One test that was made.

    Attributes
    ----------
    name : str
    ok : bool
    text : str
        What was seen.
    seconds : float
    """

    name: str
    ok: bool
    text: str
    seconds: float

    def __str__(self):
        return f"{'ok  ' if self.ok else 'FAIL'}  {self.name:<10} {self.text}  ({self.seconds:.2f} s)"


class SelftestFault(MixpeError):
    """A test saw something wrong; the message says what."""


def _differences(expected, found, base, what):
    wrong = np.flatnonzero(expected != found)
    if wrong.size:
        named = ", ".join(f"{what} 0x{base + int(i):x} is {int(found[i]):02x}, was written {int(expected[i]):02x}"
                          for i in wrong[:SHOWN_BYTES])
        bits = int(np.bitwise_or.reduce(expected ^ found))
        raise SelftestFault(f"{wrong.size} of {expected.size} bytes differ (bits {bits:08b}): {named}")


def check_link(device):
    """Write and read the scratch register: single words with walking bits, then words that are read in one request."""
    driver = driver_of(device)
    link, addr = driver.link, driver.bank.base + OFFSETS["scratch"]
    rng = np.random.default_rng(SEED)
    values = [0, 0xFFFFFFFF, *WALKING, *map(int, rng.integers(0, 1 << 32, LINK_WORDS))]
    start = time.monotonic()
    for value in values:
        link.write_word(addr, value)
        found = link.read_word(addr)
        if found != value:
            raise SelftestFault(f"the scratch register reads 0x{found:08x} after 0x{value:08x} was written: bits "
                                f"0x{found ^ value:08x} are wrong")
    rate = len(values)/(time.monotonic() - start)
    repeated = link.read_words(addr, LINK_WORDS, increment=False)
    if not np.all(repeated == values[-1]):
        raise SelftestFault(f"{np.count_nonzero(repeated != values[-1])} of {LINK_WORDS} reads of the scratch register "
                            f"in one request are wrong")
    driver.bank.mark()  # the register is the driver's otherwise
    return f"{len(values)} words written and read, {rate:.0f} a second"


def check_data_lines(device):
    """Walking ones and zeros in the first words of the memory."""
    driver = driver_of(device)
    data = np.array(WALKING, "<u4").view(np.uint8)
    driver.write_memory(0, data)
    _differences(data, driver.read_memory(0, data.size), 0, "byte")
    return f"{len(WALKING)} words with one bit different"


def check_address_lines(device):
    """A word of its own at 0 and at each power of two; lines that are stuck or tied together make two of them one."""
    driver = driver_of(device)
    offsets = [0] + [1 << bit for bit in range(2, (driver.mem_bytes - 1).bit_length())]
    for turn in (0, 0xFFFFFFFF):
        marks = {offset: (0xA5000000 | index << 16 | index*257) ^ turn for index, offset in enumerate(offsets)}
        for offset, mark in marks.items():
            driver.write_memory(offset, np.array([mark], "<u4"))
        names = {mark: offset for offset, mark in marks.items()}
        for offset, mark in marks.items():
            found = int(driver.read_memory(offset, 4).view("<u4")[0])
            if found != mark:
                who = f", which belongs to 0x{names[found]:x}" if found in names else ""
                raise SelftestFault(f"offset 0x{offset:x} reads 0x{found:08x}{who}, not 0x{mark:08x}")
    return f"{len(offsets)} addresses, the highest 0x{offsets[-1]:x}"


def _places(device):
    """Offsets of test blocks: start, end, and between."""
    last = (driver_of(device).mem_bytes - BLOCK_BYTES)//BLOCK_BYTES
    return sorted({BLOCK_BYTES*(last*share//4) for share in range(5)})


def _patterns(rng):
    bits  = np.tile(np.array([0x55, 0xAA], np.uint8), BLOCK_BYTES//2)
    words = np.tile(np.array([0, 0, 0, 0, 255, 255, 255, 255], np.uint8), BLOCK_BYTES//8)
    return [rng.integers(0, 256, BLOCK_BYTES).astype(np.uint8), bits, words]


def check_blocks(device):
    """Random bytes, alternating bits and alternating words in blocks over the memory."""
    driver = driver_of(device)
    rng, moved = np.random.default_rng(SEED), 0
    start  = time.monotonic()
    places = _places(device)
    blocks = []
    with Progress("memory", len(places)*3*2*BLOCK_BYTES, "B") as progress:
        for number in range(3):
            blocks = [_patterns(rng)[number] for _ in places]
            for offset, block in zip(places, blocks, strict=True):
                driver.write_memory(offset, block)
                progress.advance(BLOCK_BYTES)
            for offset, block in zip(places, blocks, strict=True):
                _differences(block, driver.read_memory(offset, BLOCK_BYTES), offset, "byte")
                progress.advance(BLOCK_BYTES)
                moved += 2*BLOCK_BYTES
    return f"{len(places)} blocks of {BLOCK_BYTES} bytes, 3 patterns, {moved/(time.monotonic() - start)/1e3:.0f} kB/s"


def check_checksum(device):
    """CRC-32 computed by the device, of regions of all kinds of sizes, and of one that was changed in one bit."""
    driver = driver_of(device)
    rng  = np.random.default_rng(SEED + 1)
    beat = device.config.beat_bytes
    data = rng.integers(0, 256, BLOCK_BYTES).astype(np.uint8)
    driver.write_memory(0, data)
    regions = [(0, beat), (beat, beat), (0, BLOCK_BYTES), (BLOCK_BYTES - 3*beat, 3*beat), (5*beat, BLOCK_BYTES//2)]
    for offset, size in regions:
        found, expected = driver.checksum(offset, size), zlib.crc32(data[offset:offset + size])
        if found != expected:
            raise SelftestFault(f"the checksum of {size} bytes at {offset} is 0x{found:08x}, not 0x{expected:08x}")
    data[BLOCK_BYTES//2] ^= 1
    driver.write_memory(0, data)
    if driver.checksum(0, BLOCK_BYTES) != zlib.crc32(data):
        raise SelftestFault("the checksum does not follow a change of one bit in memory")
    return f"{len(regions) + 1} regions of {beat} to {BLOCK_BYTES} bytes"


def _with_minima(matrix, form, rng):
    """The matrix's codes with minima instead of zeros."""
    scales, factors = matrix.scales, None
    if form == Form.TWO_LEVEL:
        scales  = scales[:, ::SUPERBLOCK_GROUPS]
        groups  = groups_along(matrix.k, matrix.span, form)
        factors = rng.integers(0, 1 << FACTOR_BITS, (matrix.n, groups, 2)).astype(np.uint8)
    return type(matrix).from_parts(matrix.q, scales, group_size=matrix.group_size, minima=-scales, factors=factors)


def _layer(rng, config, bits, group_size, symmetric, form):
    k = min(512, config.k_max*4//bits)  # one slab, also with twice the groups
    n = 8*int(rng.integers(1, 4)) + int(rng.integers(0, 8))
    w = (0.05*rng.standard_normal((n, k - int(rng.integers(0, 32))))).astype(np.float32)
    m = int(rng.integers(1, 2*config.rows + 2))
    x = rng.standard_normal((min(m, 24), w.shape[1])).astype(np.float32)
    matrix = quantize(w, group_size, symmetric, bits)
    return _with_minima(matrix, form, rng) if form else matrix, x


def check_array(device):
    """Layers in all modes on the device and on the reference: the same bits."""
    config, rng, results, macs = device.config, np.random.default_rng(SEED + 2), 0, 0
    device.reset_counters()
    modes = [(*mode, fused) for mode in MODES if config.minima or not mode[-1]
        for fused in ((False, True) if config.fused else (False,))]
    start = time.monotonic()
    with Device(ReferenceLink(config), "reference") as golden, Progress("array", len(modes), "layers") as progress:
        for bits, group_size, symmetric, activations, form, fused in modes:
            matrix, x = _layer(rng, config, bits, group_size, symmetric, form)
            about = (f"W{bits}{activations.upper()}, n={matrix.n}, k={matrix.k}, m={len(x)}, group {matrix.span}"
                     f"{f', {form.text}' if form else ''}{', fused' if fused else ''}")
            outputs = []
            for each in (device, golden):
                layer = each.load(matrix, activations, fused)
                found = [layer(x)]
                if activations == "a8":
                    found.append(layer.partials(quantize_activations(x)[0]))
                layer.free()
                outputs.append(found)
            for found, expected in zip(*outputs, strict=True):
                wrong = np.count_nonzero(found.view(np.uint32) != expected.view(np.uint32))
                if wrong:
                    raise SelftestFault(f"{about}: {wrong} of {expected.size} results differ from the reference")
                results += found.size
            macs += matrix.n*matrix.k_padded*len(x)*len(outputs[0])
            progress.advance(1)
    counters = device.counters()
    if counters["errors"]:
        raise SelftestFault(f"the results are right, but the device counts {counters['errors']} errors")
    return (f"{len(modes)} layers, {results} results equal to the reference, {counters['jobs']} jobs, "
            f"{macs/(time.monotonic() - start)/1e6:.2f} MMAC/s with the link")


CHECKS = (("link", check_link), ("data", check_data_lines), ("address", check_address_lines), ("memory", check_blocks),
    ("checksum", check_checksum), ("array", check_array))


def run_selftest(device, skip=()):
    """Make the tests in order, from the link to the array; stop after the first that fails.

    Parameters
    ----------
    device : Device
    skip : collection of str
        Names of tests that are not made.

    Yields
    ------
    Check
        As each ends. A link or device error in a test is its failure, not an exception.
    """
    for name, check in CHECKS:
        if name in skip:
            continue
        start = time.monotonic()
        try:
            text, ok = check(device), True
        except MixpeError as error:
            text, ok = str(error), False
        yield Check(name, ok, text, time.monotonic() - start)
        if not ok:
            return
