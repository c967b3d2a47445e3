# SPDX-License-Identifier: BSD-2-Clause
"""A small netlist at its pins: bytes go in and out of a UART; what is refused. `make test-netlists` has a board's."""

import json
import socket
import time
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


def answer(process, data, later_s=0.0):
    with socket.create_connection(("127.0.0.1", process.port), 30) as client:
        client.settimeout(30)
        time.sleep(later_s)
        client.sendall(data)
        found = b""
        while len(found) < len(data):
            part = client.recv(len(data) - len(found))
            assert part, (process.wait(30), process.log.read_text())
            found += part
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


MEMORIES = """
module top(input clk25, input serial_rx, input cpu_reset_n, output serial_tx, output sdram_clock,
  output reg [10:0] sdram_a, output reg [1:0] sdram_ba, output reg sdram_ras_n, sdram_cas_n, sdram_we_n,
  inout [31:0] sdram_dq);
  wire clk, clk_later;
  EHXPLLL #(.CLKI_DIV(1), .CLKFB_DIV(1), .CLKOP_DIV(10), .CLKOP_CPHASE(9), .CLKOS_DIV(10), .CLKOS_CPHASE(14),
    .CLKOP_ENABLE("ENABLED"), .CLKOS_ENABLE("ENABLED"), .FEEDBK_PATH("CLKOP"))
    pll (.CLKI(clk25), .RST(1'b0), .CLKOP(clk), .CLKOS(clk_later));
  ODDRX1F ddr (.D0(1'b1), .D1(1'b0), .SCLK(clk_later), .Q(sdram_clock));

  // Block RAM beside flip-flops that have to hold the same: ports of 36 bits by bytes, and of 9.
  reg [63:0] draw = 64'h123456789abcdef1;
  always @(posedge clk) draw <= {draw[62:0], draw[63] ^ draw[62] ^ draw[60] ^ draw[59]};
  wire [3:0] at = draw[3:0], from = draw[9:6], bytes = draw[15:12];
  (* ram_style = "block" *)     reg [35:0] wide_ram [0:511];
  (* ram_style = "registers" *) reg [35:0] wide_ff [0:15];
  (* ram_style = "block" *)     reg [8:0]  narrow_ram [0:2047];
  (* ram_style = "registers" *) reg [8:0]  narrow_ff [0:15];
  reg [35:0] wide_a, wide_b;
  reg [8:0]  narrow_a, narrow_b;
  reg        same = 1, known = 0;
  integer n;
  initial for (n = 0; n < 16; n = n + 1) begin
    wide_ram[n] = 36'h123456789 * n; wide_ff[n] = 36'h123456789 * n;
    narrow_ram[n] = 9'h1B*n;         narrow_ff[n] = 9'h1B*n;
  end
  always @(posedge clk) begin
    for (n = 0; n < 4; n = n + 1) if (bytes[n]) begin
      wide_ram[at][9*n +: 9] <= draw[20 + 9*n +: 9];
      wide_ff[at][9*n +: 9]  <= draw[20 + 9*n +: 9];
    end
    if (draw[16]) begin narrow_ram[at] <= draw[40:32]; narrow_ff[at] <= draw[40:32]; end
    wide_a   <= wide_ram[from];   wide_b   <= wide_ff[from];
    narrow_a <= narrow_ram[from]; narrow_b <= narrow_ff[from];
    known    <= at != from;
    if (known & (wide_a != wide_b | narrow_a != narrow_b)) same <= 0;
  end

  // The chip: closed, set, a row opened, two words written and read after three cycles, closed, refreshed.
  reg [6:0]  step = 0;
  reg [31:0] given = 0;
  reg        drive = 0, right = 0, first = 0;
  wire [31:0] pins;
  BB pad [31:0] (.I(given), .T({32{~drive}}), .O(pins), .B(sdram_dq));
  reg [31:0] taken;
  always @(posedge clk) begin
    step  <= step + (step != 127);
    taken <= pins;
    drive <= 0;
    {sdram_ras_n, sdram_cas_n, sdram_we_n} <= 3'b111;
    sdram_ba <= 2; sdram_a <= 5;
    case (step)
      10: begin {sdram_ras_n, sdram_cas_n, sdram_we_n} <= 3'b010; sdram_a <= 1024; end
      20: begin {sdram_ras_n, sdram_cas_n, sdram_we_n} <= 3'b000; sdram_a <= 3 << 4; end
      30: begin {sdram_ras_n, sdram_cas_n, sdram_we_n} <= 3'b011; sdram_a <= 77; end
      40: begin {sdram_ras_n, sdram_cas_n, sdram_we_n} <= 3'b100; drive <= 1; given <= 32'hdeadbeef; end
      41: begin {sdram_ras_n, sdram_cas_n, sdram_we_n} <= 3'b100; drive <= 1; given <= 32'h01020304; sdram_a <= 6; end
      50: begin {sdram_ras_n, sdram_cas_n, sdram_we_n} <= 3'b101; end
      51: begin {sdram_ras_n, sdram_cas_n, sdram_we_n} <= 3'b101; sdram_a <= 6; end
      54: first <= taken == 32'hdeadbeef;
      55: right <= first & taken == 32'h01020304;
      60: begin {sdram_ras_n, sdram_cas_n, sdram_we_n} <= 3'b010; end
      70: begin {sdram_ras_n, sdram_cas_n, sdram_we_n} <= 3'b001; end
      80: begin {sdram_ras_n, sdram_cas_n, sdram_we_n} <= @LAST@; end
      default: ;
    endcase
  end
  reg [2:0] level = 3'b111;
  always @(posedge clk) level <= {level[1:0], serial_rx};
  assign serial_tx = level[2] | ~same | ~right;
endmodule
"""
WITH_SDR = replace(BOARDS["colorlight_i5"], baudrate=8_700_000)


def memories(folder, last):
    (folder/"memories.v").write_text(MEMORIES.replace("@LAST@", last))
    run_tool("yosys", ["-q", "-p", "read_verilog memories.v; synth_ecp5 -no-rw-check -top top; write_json top.json"],
        folder, 300)
    return build_netlist(WITH_SDR, pins_of("colorlight_i5"), folder/"top.json")


def test_models_of_block_ram_and_of_a_memory_chip(tmp_path):
    """Bytes pass while block RAM holds what flip-flops do, and what was written into the chip came back."""
    build = memories(tmp_path, "3'b111")
    assert build.cells["DP16KD"] == 2 and build.cells["TRELLIS_IO"] == 32
    data = bytes(range(256))*4
    with NetlistProcess(build) as process:
        assert answer(process, data, 1.0) == data  # what is read of the chip is known by then


@pytest.mark.parametrize("last, said", [("3'b101", "no row is open"),
    pytest.param("3'b000", "bursts of more than a word", marks=pytest.mark.slow)])
def test_what_a_memory_chip_forbids_ends_the_simulation(tmp_path, last, said):
    with NetlistProcess(memories(tmp_path, last)) as process:
        with socket.create_connection(("127.0.0.1", process.port), 30):  # the clock runs
            assert process.wait(30) == 0
        assert said in process.log.read_text()


def test_what_is_refused(tmp_path, capsys):
    with pytest.raises(ConfigError, match="netlists of icebreaker, colorlight_i5 are simulated, not of 'ecpix5'"):
        pins_of("ecpix5")
    with pytest.raises(ToolError, match="no models of nothing's cells"):
        cell_models("nothing")
    with pytest.raises(ToolError, match="is not there: route the board first"):
        build_netlist(BOARD, PINS["icebreaker"], tmp_path/"top.json")
    (tmp_path/"top.json").write_text(json.dumps({"modules": {"top": {"cells": {}, "ports": {"clk12": {}}}}}))
    with pytest.raises(ToolError, match="has no pin serial_rx; it has clk12"):
        build_netlist(BOARD, PINS["icebreaker"], tmp_path/"top.json")
    assert main(["ulx3s"]) == 2 and "not of 'ulx3s'" in capsys.readouterr().err
    assert main(["icebreaker", "--build-dir", str(tmp_path)]) == 2
    assert "route the board first" in capsys.readouterr().err
