# SPDX-License-Identifier: BSD-2-Clause
"""Every board elaborates to Verilog, with its accelerator where the driver looks for it."""

import json
import shutil

import pytest

pytest.importorskip("litex_boards", reason="the gateware extra is not installed")

from mixpe_boards.build import elaborate_board
from mixpe_boards.registry import BOARDS
from mixpe_gateware.contract.memory_init import DFII_OFFSETS, INIT_OFFSET, NAMES
from mixpe_gateware.contract.registers import CSR_BANK, CSR_BASES, CSR_PAGE_BYTES, OFFSETS, registers_of

RISCV = "riscv64-unknown-elf-gcc"


# Of boards that have FPGA family and memory in common, one is elaborated with its decoder in `make test`.
SEEN_TO = ("ulx3s", "versa_ecp5", "colorlight_i9", "arty_a7")
BUILDS  = [pytest.param(name, changes, id="-".join([name, *changes]),
        marks=[pytest.mark.slow] if changes and name not in SEEN_TO else [])
    for name, board in BOARDS.items() for changes in [{}, *([{"decoder": True}] if board.decoder is not None else [])]]


@pytest.mark.parametrize("name, changes", BUILDS)
def test_board_elaborates(name, changes, tmp_path):
    board = BOARDS[name].changed(**changes)
    elaborate_board(board, tmp_path, changes, software=False)
    verilog = (tmp_path/"gateware"/"top.v").read_text()
    assert "module top" in verilog
    # The array is there: one accumulator a row.
    assert all(f"sum_{row}" in verilog or f"sum{row}" in verilog for row in (0, board.config.rows - 1))
    assert all((part in verilog) == board.config.decoder for part in ("attentionengine", "vectorengine"))
    assert "linkbridge" in verilog  # one bridge for simulation and boards
    csr = json.loads((tmp_path/"csr.json").read_text())
    assert csr["csr_bases"]["mixpe"] == CSR_BASES[0] + CSR_BANK*CSR_PAGE_BYTES
    registers = csr["csr_registers"]
    for register in registers_of(board.config.parts):
        found = registers[f"mixpe_{register.name}"]["addr"]
        assert found == csr["csr_bases"]["mixpe"] + OFFSETS[register.name]
    by_host = board.memory.kind == "sdr"
    if board.cpu or by_host:
        for index, register in enumerate(NAMES if by_host else NAMES[:2]):
            assert registers[f"ddrctrl_{register}"]["addr"] == csr["csr_bases"]["mixpe"] + INIT_OFFSET + 4*index
    if by_host:
        assert not board.cpu and "cpu" not in csr["csr_bases"]
        for register, offset in DFII_OFFSETS.items():
            assert registers[f"sdram_dfii_{register}"]["addr"] == csr["csr_bases"]["mixpe"] + offset
    assert csr["memories"]["main_ram"]["size"] == board.memory.size_bytes
    assert csr["constants"]["config_clock_frequency"] == board.clock_hz
    assert ("config_cpu_type_vexriscv" in csr["constants"]) == board.cpu
    assert (tmp_path/"gateware"/"build_top.sh").exists() or (tmp_path/"gateware"/"top.tcl").exists()


def test_boards_with_the_decoder():
    have = {name for name, board in BOARDS.items() if board.decoder is not None}
    assert have == {"ulx3s", "orangecrab", "ecpix5", "versa_ecp5", "colorlight_i9", "arty_a7", "nexys_video", "acorn",
        "litefury"}


@pytest.mark.parametrize("name", [name for name, board in BOARDS.items() if "etherbone" in board.links])
def test_board_elaborates_with_etherbone(name, tmp_path):
    elaborate_board(BOARDS[name], tmp_path, {"rows": 1}, link="etherbone", ip_address="10.0.0.7", software=False)
    verilog = (tmp_path/"gateware"/"top.v").read_text()
    assert f"{10 << 24 | 7:08x}" in verilog.lower() or str(10 << 24 | 7) in verilog
    assert "linkbridge" not in verilog and "rs232phy" not in verilog


@pytest.mark.slow
@pytest.mark.skipif(shutil.which(RISCV) is None, reason=f"{RISCV} is not installed")
def test_bios_compiles_and_reports_the_training(tmp_path):
    """The BIOS of a DDR3 board, which trains the memory and says so where the gateware looks."""
    elaborate_board(BOARDS["versa_ecp5"], tmp_path, {"rows": 1})
    bios = tmp_path/"software"/"bios"
    assert (bios/"bios.bin").stat().st_size > 10_000
    header = (tmp_path/"software"/"include"/"generated"/"csr.h").read_text()
    assert "CSR_DDRCTRL_BASE" in header and "ddrctrl_init_error_write" in header
