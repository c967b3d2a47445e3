# SPDX-License-Identifier: BSD-2-Clause
"""The digest of the contract: what changes it, what does not, and that it is the same everywhere."""

import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from mixpe_gateware.contract import (
    config,
    descriptor,
    digest,
    golden,
    jobs,
    layout,
    manual,
    reference,
    registers,
    wide,
)
from mixpe_gateware.contract.digest import compute_digest
from mixpe_gateware.contract.scaling import Form


def test_digest_is_the_same_in_every_process():
    """It must not depend on hash seeds, import order or memory addresses."""
    code = "from mixpe_gateware.contract.digest import digest; print(digest())"
    for seed in ("0", "1", "77"):
        run = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, timeout=60, check=True)
        assert int(run.stdout) == digest.digest() == compute_digest()


def test_the_committed_page_has_this_digest():
    """So it is the same with each Python and NumPy that the tests run on."""
    page = manual.PAGE.read_text(encoding="utf-8")
    assert page == manual.manual(), "run python -m mixpe_gateware.contract.manual"
    version, value = re.search(r"Contract version (\d+), digest `([0-9a-f]{16})`", page).groups()
    assert f"`{digest.digest(('minima',)):016x}`" in page
    assert int(version) == digest.VERSION and int(value, 16) == digest.digest()


def changed(words, name, **fields):
    """Words or registers of which one has another field."""
    return tuple(replace(word, fields=tuple(replace(field, **fields) if field.name == name else field
        for field in word.fields)) for word in words)


def fewer(function):
    """A float32 result cut off instead of rounded."""
    def cut(*args):
        found = function(*args)
        return np.nextafter(found, np.float32(0))
    return cut


def high_first(values):
    return values[..., 1::2] | values[..., ::2] << 4


def added_zeros(partial, sums, scales, zeros, shifts=None):
    return ACCUMULATE(partial, -sums, scales, zeros, shifts)


def swapped(partial, sums, scaling, shifts=None):
    """a and b the other way around."""
    if scaling.factors is not None:
        scaling = replace(scaling, factors=scaling.factors[:, :, ::-1])
    return DEQUANTISE(partial, sums, scaling, shifts)


def subtracted(partial, sums, scaling, shifts=None):
    """Minima with the other sign."""
    return DEQUANTISE(partial, sums, scaling if scaling.minima is None else replace(scaling, minima=-scaling.minima),
        shifts)


ACCUMULATE = reference.accumulate
DEQUANTISE = reference.dequantise
BEATS      = layout.block_beats
ENTRIES    = layout.section_entries
CHECK      = jobs.check_job
WORDS      = descriptor.WORDS
CONTRACT   = {
    "version":             (digest, "VERSION", 999),
    "a register less":     (registers, "REGISTERS", registers.REGISTERS[1:]),
    "a register's access": (registers, "REGISTERS", tuple(replace(each, access="rw") for each in registers.REGISTERS)),
    "a register's effect": (registers, "REGISTERS", tuple(replace(each, effect=registers.Effect.NONE)
        for each in registers.REGISTERS)),
    "a register's place":  (registers, "OFFSETS", {**registers.OFFSETS, "status": 0x200}),
    "a bit of status":     (registers, "REGISTERS", changed(registers.REGISTERS, "ended", lsb=24)),
    "a flag's bit":        (descriptor, "WORDS", changed(WORDS, "fused", lsb=9)),
    "order of words":      (descriptor, "WORDS", (WORDS[1], WORDS[0], *WORDS[2:])),
    "order of counters":   (registers, "COUNTERS", registers.COUNTERS[::-1]),
    "order of nibbles":    (layout, "pack_nibbles", high_first),
    "order of sections":   (layout, "block_beats", lambda *args: dict(reversed(BEATS(*args).items()))),
    "order of results":    (layout, "tile_results", lambda partial, _config: partial),
    "bits of a shift":     (layout, "SHIFT_BITS", 5),
    "rounding, FP64":      (reference, "_accumulate_float64", fewer(reference._accumulate_float64)),
    "rounding, integers":  (reference, "round_to_float32", fewer(reference.round_to_float32)),
    "sign of the zeros":   (reference, "accumulate", added_zeros),
    "row sums":            (reference, "row_sums", lambda x, size: -reference._grouped(x, size, "x").sum(axis=2)),
    "split of a wide row": (wide, "split", lambda a: np.concatenate([a >> 8, a & 255]).astype(np.int8)),
    "alignment's range":   (wide, "SHIFT_LIMIT", 7),
    "check word":          (golden, "fold_words", sum),
    "limit of a job":      (jobs, "N_LIMIT", 1 << 15),
    "group codes":         (jobs, "GROUP_CODE_K", 6),
    "answer of a check":   (jobs, "check_job", lambda job, config, size: jobs.JobCode.SHAPE
        if job.out_bytes == 4*golden.N*golden.M*golden.GROUPS - 1 else CHECK(job, config, size)),
}


@pytest.mark.parametrize("change", CONTRACT)
def test_what_can_make_two_sides_disagree_changes_it(monkeypatch, change):
    module, name, value = CONTRACT[change]
    before = compute_digest()
    monkeypatch.setattr(module, name, value)
    assert compute_digest() != before
    monkeypatch.undo()
    assert compute_digest() == before


OPTIONAL = {
    "a flag's bit":      (descriptor, "WORDS", changed(WORDS, "form", lsb=9)),
    "a feature's bit":   (registers, "REGISTERS", changed(registers.REGISTERS, "minima", lsb=9)),
    "a and b":           (reference, "dequantise", swapped),
    "sign of a minimum": (reference, "dequantise", subtracted),
    "bits of a factor":  (layout, "FACTOR_BITS", 5),
    "order of sections": (layout, "section_entries", lambda k, groups, form: ENTRIES(k, groups, form)
        if form == Form.ZERO else dict(reversed(ENTRIES(k, groups, form).items()))),
    "answer of a check": (jobs, "check_job", lambda job, config, size: jobs.JobCode.OK if job.form == 3
        else CHECK(job, config, size)),
    "size of a stream":  (jobs, "stream_bytes", lambda *args: layout.stream_bytes(*args[:4])),
}


@pytest.mark.parametrize("change", OPTIONAL)
def test_an_optional_part_is_in_the_digest_of_builds_that_have_it(monkeypatch, change):
    module, name, value = OPTIONAL[change]
    without, before = compute_digest(), compute_digest(("minima",))
    monkeypatch.setattr(module, name, value)
    assert compute_digest() == without and compute_digest(("minima",)) != before


DECODER = {
    "a register less":     (registers, "REGISTERS", registers.REGISTERS[:-1]),
    "a register's access": (registers, "REGISTERS", (*registers.REGISTERS[:-1], replace(registers.REGISTERS[-1],
        access="rw"))),
    "a feature's bit":     (registers, "REGISTERS", changed(registers.REGISTERS, "decoder", lsb=9)),
    "a counter less":      (registers, "OPTIONAL_COUNTER_TEXT", {}),
}


@pytest.mark.parametrize("change", DECODER)
def test_the_decoder_is_in_the_digest_of_builds_that_have_it(monkeypatch, change):
    module, name, value = DECODER[change]
    parts = [("decoder",), ("minima", "decoder")]
    before, without = [compute_digest(each) for each in parts], [compute_digest(), compute_digest(("minima",))]
    monkeypatch.setattr(module, name, value)
    assert [compute_digest(), compute_digest(("minima",))] == without
    assert not set(before) & {compute_digest(each) for each in parts}


def test_boards_that_were_routed_keep_their_digest():
    assert [f"{digest.digest(parts):016x}" for parts in ((), ("minima",))] == ["267f44ffc3223364", "7e3937acd102f7ae"]


def test_an_optional_part_adds_and_changes_nothing():
    """So boards without it keep what was routed; and what they share stays in the digest of both."""
    assert compute_digest() != compute_digest(("minima",)) == digest.digest(("minima",))
    base = dict(golden.golden_vectors())
    more = dict(golden.golden_vectors(("minima",)))
    assert more | base == more and len(more) > len(base)


@pytest.mark.parametrize("change", ["version", "a flag's bit", "order of nibbles", "rounding, integers", "check word"])
def test_what_builds_share_changes_the_digest_of_both(monkeypatch, change):
    module, name, value = CONTRACT[change]
    before = compute_digest(("minima",))
    monkeypatch.setattr(module, name, value)
    assert compute_digest(("minima",)) != before


@pytest.mark.parametrize("module, name, value", [
    (config, "PE_KINDS", (*config.PE_KINDS, "wavelet")),
    (registers, "REGISTERS", tuple(replace(each, text="?") for each in registers.REGISTERS)),
    (registers, "REGISTERS", changed(registers.REGISTERS, "busy", text="?")),
    (registers, "REGISTERS", changed(registers.REGISTERS, "group", values=())),
    (descriptor, "WORDS", tuple(replace(word, text="?") for word in WORDS)),
    (registers, "COUNTER_TEXT", {}),
    (config, "INBOX_LIMIT", 1 << 24),
])
def test_what_cannot_leaves_it(monkeypatch, module, name, value):
    before = compute_digest()
    monkeypatch.setattr(module, name, value)
    assert compute_digest() == before


def test_vectors_take_each_path_of_the_arithmetic(monkeypatch):
    """FP64, INT64 and integers of any size; ties there come out even."""
    taken = set()

    def note(name, function):
        def noted(value, *rest):
            taken.add((name, value.dtype.name))
            return function(value, *rest)
        return noted

    for name in ("_accumulate_float64", "round_to_float32"):
        monkeypatch.setattr(reference, name, note(name, getattr(reference, name)))
    vectors = dict(golden.golden_vectors())
    assert taken == {("_accumulate_float64", "int64"), ("_accumulate_float64", "int32"), ("round_to_float32", "int64"),
        ("round_to_float32", "object")}
    unit = np.float32(2.0**39)
    for ties in np.frombuffer(vectors["ties"], "<f4").reshape(3, 4)/unit:
        assert ties[:2].tolist() == [1, 1 + 2.0**-22]  # 2^24 + 1 and 2^24 + 3, to the even one
    assert np.frombuffer(vectors["zero"], np.uint8).tolist() == [0, 0, 0, 0]
    codes = np.frombuffer(vectors["jobs"], "<i8")
    asked = {code for code in jobs.JobCode if not code.part} - {jobs.JobCode.ABORTED, jobs.JobCode.WATCHDOG}
    assert asked <= set(codes.tolist())
