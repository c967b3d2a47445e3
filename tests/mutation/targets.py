# SPDX-License-Identifier: BSD-2-Clause
"""What is mutated, by which tests a mutant is looked for first, and by which those that they let through."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """Sources that the same tests are about.

    Attributes
    ----------
    sources : tuple of str
        Files, from the root of the repository.
    tests : tuple of str
        Arguments of pytest.
    count : int
        Mutants that are drawn.
    """

    sources: tuple
    tests: tuple
    count: int


G = "gateware/mixpe_gateware/"
H = "host/mixpe/"
T = "tests/"

GROUPS = {
    "checker": Group((G + "gemm/checker.py", G + "gemm/shape.py", G + "control/multiplier.py"),
        (T + "gateware/test_checker.py", T + "gateware/test_multiplier.py"), 24),
    "scaler": Group((G + "gemm/scaler.py", G + "stream/float32.py"),
        (T + "gateware/test_scaler.py", T + "gateware/test_float32.py"), 16),
    "results": Group((G + "gemm/results.py", G + "gemm/finished.py"), (T + "gateware/test_results.py",), 12),
    "sequencer": Group((G + "gemm/sequencer.py", G + "gemm/walk.py"), (T + "gateware/test_sequencer.py",), 12),
    "activations": Group((G + "gemm/activations.py", G + "gemm/filling.py", G + "gemm/rowsums.py"),
        (T + "gateware/test_activations.py", T + "gateware/test_rowsums.py"), 16),
    "streams": Group((G + "stream/reader.py", G + "stream/writer.py", G + "stream/share.py", G + "stream/credits.py",
        G + "stream/bounded.py"), tuple(T + f"gateware/test_{name}.py"
        for name in ("credits", "share", "reader", "writer", "bounded")), 24),
    "control": Group((G + "control/supervisor.py", G + "control/queue.py", G + "control/dispatch.py",
        G + "control/checksum.py", G + "control/counters.py"), tuple(T + f"gateware/test_{name}.py"
        for name in ("watchdog", "queue", "dispatch", "checksum", "counters", "fence")), 24),
    "link": Group((G + "link/frame_receiver.py", G + "link/frame_server.py", G + "link/deframer.py",
        G + "link/bridge.py"), (T + "link/test_bridge.py", T + "link/test_framed_bridge.py"), 32),
    "packets": Group((G + "link/packet_check.py", G + "link/udp_gate.py", G + "link/packet_store.py"),
        (T + "link/test_udp_gate.py", T + "link/test_etherbone_gateware.py", T + "link/test_payload_fifo.py"), 12),
    "programs": Group((G + "control/program/checks.py", G + "control/program/run.py", G + "control/program/patcher.py",
        G + "control/program/issue.py"), (T + "gateware/program",), 16),
    "layout": Group((G + "contract/layout.py", G + "contract/jobs.py", G + "contract/reference.py",
        G + "contract/scaling.py"), (T + "contract", T + "host/test_matrix.py"), 20),
    "quantisation": Group((H + "quant/quantize.py", H + "quant/checks.py", H + "quant/matrix.py",
        H + "quant/floats.py"), (T + "host/test_quantize.py", T + "host/test_matrix.py", T + "host/test_inputs.py",
        T + "host/test_matrix_forms.py"), 24),
    "driver": Group((H + "devices/driver.py", H + "devices/transfer.py", H + "devices/upkeep.py",
        H + "devices/memory.py", H + "devices/linear.py"), (T + "host/test_reference_device.py",
        T + "host/test_memory.py", T + "host/test_jobqueue.py", T + "host/test_faults.py", T + "host/test_damage.py",
        T + "host/test_threads.py", T + "host/test_opening.py"), 32),
    "frames": Group((H + "link/frames.py", H + "link/framesession.py", H + "link/channel.py", H + "link/delivery.py",
        H + "link/packets.py", H + "link/words.py", H + "link/byteend.py"), (T + "link/test_framelink.py",
        T + "link/test_etherbone.py", T + "link/test_uartbone.py", T + "link/test_url.py"), 32),
    "plan": Group((H + "plan/*.py",), (T + "host/test_plan.py", T + "host/test_reference_device.py"), 16),
    "compiler": Group((H + "program/*.py",), (T + "program/test_compile.py", T + "program/test_bits.py",
        T + "program/test_session.py"), 20),
}

# For those that a group's own tests let through.
WIDER = {
    "gateware": (T + "gateware/test_accelerator.py", T + "contract", T + "host/test_matrix.py"),
    "host": (T + "host", T + "lm/test_model.py", T + "formats/test_convert.py", T + "formats/test_device.py"),
}
