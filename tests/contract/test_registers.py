# SPDX-License-Identifier: BSD-2-Clause
"""The register table, the digest over it, and identity there and back."""

import os
import subprocess
import sys

import pytest

from mixpe_gateware.contract import jobs, registers
from mixpe_gateware.contract.config import PE_KINDS, Config
from mixpe_gateware.contract.jobs import Job


def test_names_and_offsets():
    names = [register.name for register in registers.REGISTERS]
    assert len(set(names)) == len(names)
    assert [registers.OFFSETS[name] for name in names] == list(range(0, 4*len(names), 4))
    assert 4*len(names) <= registers.CSR_PAGE_BYTES
    assert all(register.access in ("ro", "rw", "wo") and register.text for register in registers.REGISTERS)


def test_job_registers_are_the_words_of_a_job():
    """In the order of `Job.words`, the last one posts."""
    job = Job(weights_addr=10, act_addr=11, out_addr=12, n=13, k=14, m=15, group=0, out_bytes=17, tag=18)
    by_name = dict(zip((register.name for register in registers.JOB), job.words(), strict=True))
    assert by_name == {"job_weights_addr": 10, "job_act_addr": 11, "job_out_addr": 12, "job_n": 13, "job_k": 14,
        "job_m": 15, "job_flags": 0, "job_out_bytes": 17, "job_tag": 18}


def test_digest_is_the_same_in_every_process():
    """It must not depend on hash seeds, import order or memory addresses."""
    code = "from mixpe_gateware.contract.registers import digest; print(digest())"
    for seed in ("0", "1", "77"):
        run = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, timeout=60, check=True)
        assert int(run.stdout) == registers.digest()


@pytest.mark.parametrize("module, name, value", [
    (registers, "VERSION", 999), (registers, "REGISTERS", registers.REGISTERS[:-1]),
    (registers, "STATUS_DONE_LSB", 24), (registers, "CONTROL_RESET", 8),
    (jobs, "FLAG_FUSED", 1 << 9), (jobs, "GROUP_CODE_K", 6), (jobs, "SHIFT_LIMIT", 31),
])
def test_digest_follows_the_contract(monkeypatch, module, name, value):
    before = registers.digest()
    monkeypatch.setattr(module, name, value)
    assert registers.digest() != before
    monkeypatch.undo()
    assert registers.digest() == before


@pytest.mark.parametrize("config", [
    Config(), Config(rows=1, port_bits=16, k_max=512, buffer_beats=64, queue_depth=2, fused=False, scalers=1),
    Config(rows=64, port_bits=64, scalers=8, read_ports=4, pe=PE_KINDS[-1]),
])
def test_identity_there_and_back(config):
    values = registers.identity_values(config, clock_hz=50e6, mem_base=0x40000000, mem_bytes=1 << 25)
    assert set(values) == {register.name for register in registers.IDENTITY}
    assert all(isinstance(value, int) and 0 <= value < 1 << 32 for value in values.values())
    assert registers.config_from_identity(values) == config
    assert values["digest_low"] | values["digest_high"] << 32 == registers.digest()
