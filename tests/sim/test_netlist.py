# SPDX-License-Identifier: BSD-2-Clause
"""A small netlist at its pins: bytes go in and out of a UART; what is refused. `make test-netlists` has a board's."""

import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("litex", reason="the gateware extra is not installed")

from mixpe.errors import ConfigError, ToolError
from mixpe.tools import run_tool
from mixpe_boards.registry import BOARDS
from mixpe_sim.netlist.__main__ import main
from mixpe_sim.netlist.build import build_netlist, cell_models
from mixpe_sim.netlist.pins import PINS, pins_of
from mixpe_sim.netlist.process import NetlistProcess

BOARD = replace(BOARDS["icebreaker"], baudrate=2_300_000)  # bits of 6.96 cycles
ECHO  = """
module top(input clk12, input serial_rx, input user_btn_n, output serial_tx);
  wire clk;
  reg [2:0] level = 3'b111;
  SB_PLL40_PAD #(.DIVR(4'd0), .DIVF(7'd84), .DIVQ(3'd6), .FEEDBACK_PATH("SIMPLE"), .FILTER_RANGE(3'd1))
    pll (.PACKAGEPIN(clk12), .RESETB(1'b1), .PLLOUTGLOBAL(clk));
  always @(posedge clk) level <= {level[1:0], serial_rx};
  assign serial_tx = level[2] ^ !user_btn_n;
endmodule
"""


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    """Yosys' JSON of a netlist that sends what it receives, three cycles later."""
    folder = tmp_path_factory.mktemp("echo")
    (folder/"echo.v").write_text(ECHO)
    run_tool("yosys", ["-q", "-p", "read_verilog echo.v; synth_ice40 -top top; write_json top.json"], folder, 300)
    return folder/"top.json"


def answer(process, data):
    with socket.create_connection(("127.0.0.1", process.port), 30) as client:
        client.settimeout(30)
        client.sendall(data)
        found = b""
        while len(found) < len(data):
            found += client.recv(len(data) - len(found))
        return found


def test_bytes_pass_the_pins(echo):
    build = build_netlist(BOARD, pins_of("icebreaker"), echo)
    assert build.cells["SB_DFF"] == 3 and build.cells["SB_PLL40_PAD"] == 1
    data = bytes(range(256))*8 + b"\0"*50 + b"\xff"*50
    with NetlistProcess(build) as process:
        assert process.url == f"serial+tcp://127.0.0.1:{process.port}?window=1&timeout_s=300"
        for _ in range(2):  # one client after the other
            assert answer(process, data) == data
        pid = process.pid
    assert not Path(f"/proc/{pid}").exists()


def test_another_cell_shows_at_the_pins(echo, tmp_path):
    """The netlist itself is what works: with a one at its flip-flops, no byte comes."""
    netlist = json.loads(echo.read_text())
    for cell in netlist["modules"]["top"]["cells"].values():
        if cell["type"] == "SB_DFF":
            cell["connections"]["D"] = ["1"]
    changed = tmp_path/"top.json"
    changed.write_text(json.dumps(netlist))
    with NetlistProcess(build_netlist(BOARD, pins_of("icebreaker"), changed)) as process:
        with socket.create_connection(("127.0.0.1", process.port), 30) as client:
            client.settimeout(1)
            client.sendall(b"mixpe")
            with pytest.raises(TimeoutError):
                client.recv(1)


def test_what_is_refused(tmp_path, capsys):
    with pytest.raises(ConfigError, match="netlists of icebreaker are simulated, not of 'ecpix5'"):
        pins_of("ecpix5")
    with pytest.raises(ToolError, match="0 modules SB_NOTHING, not one"):
        cell_models("ice40", {"SB_NOTHING": ""})
    with pytest.raises(ToolError, match="is not there: route the board first"):
        build_netlist(BOARD, PINS["icebreaker"], tmp_path/"top.json")
    (tmp_path/"top.json").write_text(json.dumps({"modules": {"top": {"cells": {}, "ports": {"clk12": {}}}}}))
    with pytest.raises(ToolError, match="has no pin serial_rx; it has clk12"):
        build_netlist(BOARD, PINS["icebreaker"], tmp_path/"top.json")
    assert main(["ulx3s"]) == 2 and "not of 'ulx3s'" in capsys.readouterr().err
    assert main(["icebreaker", "--build-dir", str(tmp_path)]) == 2
    assert "route the board first" in capsys.readouterr().err
