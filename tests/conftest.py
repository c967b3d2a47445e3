# SPDX-License-Identifier: BSD-2-Clause
"""For all tests: one BLAS thread a process, since several share the cores; a wide terminal; the device that is tested.

    pytest                             device tests run on the simulated SoC, beside all others
    pytest -m device                   only they
    pytest --device serial:///dev/…    only they, on that device
"""

import os
import shutil
import sys

import pytest

os.environ["COLUMNS"] = "200"  # a row of a table is one line; tests of narrow terminals set their own

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

SHARED = ("sim", "reference")  # each process may open one of its own


def pytest_addoption(parser):
    parser.addoption("--device", metavar="URL", default=None,
        help="run the tests that need a device, and only those, on this one: a board (serial:///dev/ttyUSB0, "
             "etherbone://192.168.1.50), a running `mixpe sim` (serial+tcp://127.0.0.1:PORT), or reference")


def pytest_configure(config):
    config.addinivalue_line("markers", "device: needs nothing but a device: the simulated SoC, or the one of --device")
    url = config.getoption("--device")
    if url and url.partition("?")[0] not in SHARED and getattr(config.option, "numprocesses", None):
        raise pytest.UsageError(f"{url} serves one process at a time; leave -n out")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--device"):
        other = [item for item in items if item.get_closest_marker("device") is None]
        items[:] = [item for item in items if item.get_closest_marker("device") is not None]
        config.hook.pytest_deselected(items=other)


@pytest.fixture(autouse=True)
def forget_modules():
    """Let go of a test's designs: Migen keeps all modules that made a signal, and looks through them for each one."""
    yield
    if tracer := sys.modules.get("migen.fhdl.tracer"):
        tracer.classname_to_objs.clear()


@pytest.fixture(scope="session")
def dut(request):
    """The device under test, open: the simulated SoC, or the one of ``--device``."""
    url = request.config.getoption("--device") or "sim"
    if url.partition("?")[0] == "sim":
        pytest.importorskip("litex", reason="the simulated SoC needs mixpe[gateware]")
        if not shutil.which("verilator"):
            pytest.skip("the simulated SoC needs verilator")
    import mixpe
    with mixpe.open(url, verify="all") as device:
        yield device
