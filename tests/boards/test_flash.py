# SPDX-License-Identifier: BSD-2-Clause
"""Finding, checking and loading bitstreams, with a stand-in for openFPGALoader that answers as the real one does."""

import json
import os
import stat

import pytest

from mixpe.boards import flash
from mixpe.boards.build import artefact_name, contract_tag
from mixpe.boards.registry import BOARDS, find_board
from mixpe.cli.main import main
from mixpe.errors import ConfigError, ContractError, DeviceError, ToolError
from mixpe.gateware.spec.registers import digest

ULX3S = BOARDS["ulx3s"]
FOUND = """Jtag frequency : requested 6.00MHz   -> real 6.00MHz
index 0:
\tidcode 0x{idcode:x}
\tmanufacturer lattice
"""
NO_BOARD = "unable to open ftdi device: -3 (device not found)\nJTAG init failed with: unable to open ftdi device"


@pytest.fixture
def loader(tmp_path, monkeypatch):
    """A program that notes its arguments and answers as told: loader(detected, code of a load)."""
    script, log = tmp_path/"openFPGALoader", tmp_path/"calls"

    def setup(detect, detect_code=0, load="", load_code=0):
        (tmp_path/"detect").write_text(detect)
        (tmp_path/"load").write_text(load)
        script.write_text(f"""#!/bin/sh
echo "$@" >> {log}
case "$*" in
*--detect*) cat {tmp_path}/detect; exit {detect_code};;
*) cat {tmp_path}/load; exit {load_code};;
esac
""")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(flash, "loader_command", lambda: [str(script)])
        return lambda: log.read_text().splitlines() if log.exists() else []
    return setup


@pytest.fixture
def built(tmp_path):
    """A bitstream of the ULX3S with its report."""
    folder = tmp_path/"build"/ULX3S.build_name()
    folder.mkdir(parents=True)
    path = folder/f"{artefact_name(ULX3S)}.bit"
    path.write_bytes(b"bits")
    path.with_suffix(".json").write_text(json.dumps({"board": "ulx3s", "contract_digest": f"{digest():016x}"}))
    return path


@pytest.mark.parametrize("option, expected", [([], "--write-sram"), (["--volatile"], "--write-sram"),
    (["--persistent"], "--write-flash")])
def test_loads_the_newest(loader, built, option, expected, capsys):
    calls = loader(FOUND.format(idcode=0x41113043))
    assert main(["flash", "ULX3S", "--build-dir", str(built.parents[1]), *option]) == 0
    assert calls() == ["-b ulx3s --detect", f"-b ulx3s {expected} {built}"]
    assert "baudrate=3000000" in capsys.readouterr().out


@pytest.mark.parametrize("option", [False, True])
def test_says_the_url_of_an_etherbone_build(loader, built, option, capsys):
    loader(FOUND.format(idcode=0x41113043))
    report = built.with_suffix(".json")
    report.write_text(json.dumps({**json.loads(report.read_text()), "link": "etherbone", "ip_address": "10.0.0.7"}))
    named = ["--bitstream", str(built)] if option else ["--build-dir", str(built.parents[1])]
    assert main(["flash", "ulx3s", *named]) == 0
    assert "mixpe info --device 'etherbone://10.0.0.7'" in capsys.readouterr().out


def test_wrong_fpga_is_named_and_nothing_is_loaded(loader, built):
    calls = loader(FOUND.format(idcode=0x41111043))
    with pytest.raises(flash.WrongBoardError, match="0x41111043.*0x\\?1113043"):
        flash.flash_board(ULX3S, built)
    assert len(calls()) == 1


@pytest.mark.parametrize("idcode, text", [
    (0x41112043, "that is the FPGA of colorlight_i9 and versa_ecp5: name that board, or connect the Radiona"),
    (0x12345678, "connect the Radiona ULX3S 85F; `mixpe boards` lists the variants"),
])
def test_wrong_fpga_says_what_to_do(loader, built, idcode, text, capsys):
    loader(FOUND.format(idcode=idcode))
    assert main(["flash", "ulx3s", "--build-dir", str(built.parents[1])]) == 2
    err = capsys.readouterr().err
    assert text in err and err.count("\n") == 1


def test_version_nibble_of_the_idcode_does_not_matter(loader):
    loader(FOUND.format(idcode=0x81113043))
    assert flash.detect(ULX3S) == 0x81113043


@pytest.mark.parametrize("output, code", [(NO_BOARD, 1), ("empty\n", 0)])
def test_no_board(loader, built, output, code):
    loader(output, code)
    with pytest.raises(flash.NoBoardError, match="no Radiona ULX3S 85F found.*connect it, and see that you may"):
        flash.flash_board(ULX3S, built)


def test_a_board_that_goes_away_while_it_is_loaded(loader, built):
    loader(FOUND.format(idcode=0x41113043), load="unable to open ftdi device: -4 (usb_open() failed)\n", load_code=1)
    with pytest.raises(flash.NoBoardError, match="no Radiona ULX3S 85F found.*connect it"):
        flash.flash_board(ULX3S, built)


def test_a_board_without_jtag_is_not_detected(loader, built):
    calls = loader("")
    flash.flash_board(BOARDS["icebreaker"], built)
    assert calls() == [f"-b ice40_generic --write-sram {built}"]


def test_load_that_fails(loader, built):
    loader(FOUND.format(idcode=0x41113043), load="Loading\nFAIL: verify\n", load_code=1)
    with pytest.raises(ToolError, match="failed with 1.*FAIL: verify; power the board off and on"):
        flash.flash_board(ULX3S, built)


def test_missing_library_says_what_to_install(loader, built):
    loader("openFPGALoader: error while loading shared libraries: libftdi1.so.2: cannot open shared object file", 127)
    with pytest.raises(ToolError, match="apt install libftdi1-2"):
        flash.flash_board(ULX3S, built)


def test_missing_program(monkeypatch):
    monkeypatch.setattr(flash.shutil, "which", lambda _name: None)
    with pytest.raises(ToolError, match="pip install 'mixpe\\[fpga\\]'"):
        flash.loader_command()


def test_no_bitstream(tmp_path):
    with pytest.raises(DeviceError, match="mixpe build ulx3s"):
        flash.find_bitstream(ULX3S, tmp_path)


def test_only_bitstreams_of_another_contract(built):
    built.rename(built.with_name(built.name.replace(contract_tag(), "00000000")))
    with pytest.raises(ContractError, match="00000000.*mixpe build ulx3s"):
        flash.find_bitstream(ULX3S, built.parents[1])


def test_the_newest_of_several_is_taken(built):
    other = built.parents[1]/"ulx3s_8x4"/f"ulx3s_8x4_{contract_tag()}.bit"
    other.parent.mkdir()
    other.write_bytes(b"newer")
    os.utime(built, (1, 1))
    assert flash.find_bitstream(ULX3S, built.parents[1])[0] == other


@pytest.mark.parametrize("change, error, text", [
    ({"board": "ecpix5"}, DeviceError, "is for ecpix5"),
    ({"contract_digest": "0"*16}, ContractError, "speaks contract 0000"),
])
def test_named_file_is_checked(built, change, error, text):
    report = built.with_suffix(".json")
    report.write_text(json.dumps({**json.loads(report.read_text()), **change}))
    with pytest.raises(error, match=text):
        flash.check_bitstream(built, ULX3S)


def test_named_file_without_report(built, loader, capsys):
    calls = loader(FOUND.format(idcode=0x41113043))
    built.with_suffix(".json").unlink()
    assert main(["flash", "ulx3s", "--bitstream", str(built)]) == 2
    assert "--force loads it" in capsys.readouterr().err and not calls()
    assert main(["flash", "ulx3s", "--bitstream", str(built), "--force"]) == 0
    assert main(["flash", "ulx3s", "--bitstream", str(built.parent/"none.bit")]) == 2


def test_unknown_board():
    with pytest.raises(ConfigError, match="unknown board 'ulx4s'; there are ulx3s, "):
        find_board("ulx4s")
