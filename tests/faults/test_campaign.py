# SPDX-License-Identifier: BSD-2-Clause
"""A short campaign: no fault on a link of frames does harm, and what it does to a plain one is noticed."""

import shutil

import pytest

from mixpe.link.byteend import ByteEnd, FrameEnd
from mixpe_gateware.contract.config import Config
from mixpe_sim.faults.__main__ import MEM_BYTES, REFERENCE, SIMULATED
from mixpe_sim.faults.campaign import LOST, RIGHT, SILENT, TYPED, Campaign
from mixpe_sim.faults.fault import KINDS
from mixpe_sim.faults.proxy import Proxy
from mixpe_sim.faults.reference import ReferencePort
from mixpe_sim.faults.workload import Workload

SMALL  = Config(rows=2, port_bits=32, k_max=512, buffer_beats=64, queue_depth=4, scalers=1)
MENDED = ("flip", "insert", "delay")  # after which the bytes that are due still come, so that sending again helps


@pytest.fixture
def campaign():
    """Makes campaigns on the reference device behind a bridge."""
    ends = []

    def make(bridge, config=SMALL, mem_bytes=1 << 20, **options):
        port  = ReferencePort(config, mem_bytes, bridge)
        proxy = Proxy(port.port)
        ends.extend([proxy, port])
        return Campaign(proxy, Workload(decoder=config.decoder), **options)
    yield make
    for each in ends:
        each.close()


@pytest.mark.parametrize("kind", KINDS)
def test_frames_stand_every_kind_of_fault(campaign, kind):
    report = campaign(FrameEnd, seed=KINDS.index(kind), kinds=(kind,), timeout_s=1.0, verify="weights").run(4)
    assert not report.failed, report.failures
    assert report.faults == 4 and (kind not in MENDED or report.counts[RIGHT] == 4)


def test_runs_of_programs_stand_faults(campaign):
    report = campaign(FrameEnd, REFERENCE, MEM_BYTES, seed=5, kinds=("flip", "cut"), phases=("program",),
        timeout_s=1.0, limit_s=20.0).run(4)
    assert not report.failed, report.failures
    assert report.by_kind["flip"][RIGHT] == sum(report.by_kind["flip"].values()) > 0


def test_harm_is_noticed(campaign):
    """What flips on its way back in a plain link is another number; a connection that is cut stays cut."""
    report = campaign(ByteEnd, seed=3, kinds=("flip",), timeout_s=0.5, verify="weights").run(12)
    assert report.counts[SILENT]
    report = campaign(ByteEnd, seed=1, kinds=("cut",), timeout_s=0.5).run(2)
    assert report.counts[LOST] == 2 and "then lost device LinkError" in report.failures[0]


def test_the_simulated_link_stands_faults():
    pytest.importorskip("litex", reason="the simulated SoC needs mixpe[gateware]")
    if not shutil.which("verilator"):
        pytest.skip("the simulated SoC needs verilator")
    from mixpe_sim.process import open_sim
    with open_sim(**SIMULATED) as process:
        proxy = Proxy(process.port)
        try:
            report = Campaign(proxy, Workload(), seed=9, timeout_s=4.0, limit_s=60.0).run(24)
        finally:
            proxy.close()
    assert not report.failed, report.failures
    assert not any(report.by_kind[kind][TYPED] for kind in MENDED)
