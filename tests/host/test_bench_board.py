# SPDX-License-Identifier: BSD-2-Clause
"""The model of boards: traffic and cycles are those of the real driver, and the sums are right."""

import json
from dataclasses import replace

import numpy as np
import pytest

import mixpe
from mixpe.bench.board import GenerationModel, clock_of, link_of, memory_source
from mixpe.bench.boardtable import ms_text, rate_text, time_text
from mixpe.bench.models import PUBLISHED, Model, Shape, find_models, packaged_model
from mixpe.bench.ondevice import POSITION, DecoderModel
from mixpe.bench.virtual import FRAME_BYTES, READ_CYCLES, TURN_S, WRITE_CYCLES, NullDevice, open_virtual
from mixpe.cli.main import main
from mixpe.devices.device import Device
from mixpe.devices.driver import driver_of
from mixpe.errors import ConfigError, ModelError, RangeError
from mixpe.formats.architecture import Architecture
from mixpe.lm import checkpoint
from mixpe.lm.deployment import LINKS
from mixpe.lm.fit import Rounding
from mixpe.lm.generation import RUN_TOKENS
from mixpe.lm.ondevice import compile_checkpoint, compile_parts
from mixpe.lm.weights import Weights
from mixpe.program.assemble import assemble
from mixpe.program.place import CONSTANTS
from mixpe.reference.device import MEM_BASE
from mixpe_boards.registry import BOARDS
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.digest import digest

ULX3S, ECPIX5 = BOARDS["ulx3s"], BOARDS["ecpix5"]
SMALL = Config(rows=4, port_bits=32, k_max=1024, buffer_beats=64, queue_depth=4, scalers=2)


def small_board(framed=False, **changes):
    return replace(ECPIX5, framed=framed, config=replace(SMALL, **changes))


@pytest.mark.parametrize("n, k, m, activations, fused", [
    (64, 256, 1, "a8", True), (40, 300, 3, "a8", True), (64, 256, 9, "a16", True), (48, 512, 2, "a8", False),
    (32, 1500, 1, "a8", True), (24, 512, 5, "a16", False),
])
@pytest.mark.parametrize("kind, framed", [("uart", False), ("uart", True), ("etherbone", False)])
def test_traffic_and_cycles_are_those_of_the_driver(kind, framed, n, k, m, activations, fused):
    """A real layer on the reference device moves the same payload and takes the same cycles."""
    board = small_board(framed, fused=fused, scalers=2)
    assert board.framed_on(kind) == framed
    model = GenerationModel(board, link=kind, results={}, group_size=128, activations=activations)
    sent, received, counters, seconds, stream_bytes = model._run(Shape("layer", n, k, 1), m)
    rng = np.random.default_rng(n)
    with mixpe.open("reference", **board.config.to_dict(), verify="all", mem_bytes=8 << 20) as device:
        layer = device.load(mixpe.quantize(rng.standard_normal((n, k)).astype(np.float32), 128), activations)
        cycles = device.counters()
        before = device.link_bytes()
        layer(rng.standard_normal((m, k)).astype(np.float32))
        after = device.link_bytes()
        spent = {name: value - cycles[name] for name, value in device.counters().items()}
    assert stream_bytes == layer.weight_bytes
    assert {name: counters[name] for name in ("jobs", "cycles", "busy", "errors")} == {
        name: spent[name] for name in ("jobs", "cycles", "busy", "errors")}
    written, read = after["written"] - before["written"], after["read"] - before["read"]
    if framed:
        frames = (received//1024 + 60)*counters["jobs"]
        assert read < received <= 1.1*read + 20*frames and written < sent <= 1.1*written + 24*frames
    elif kind == "uart":
        assert received == read
        assert written < sent <= 1.1*written + 6*(received//1020 + 60)*counters["jobs"]
    else:
        assert sent > written and received > read
    assert seconds > 0


def test_one_turn_on_a_serial_wire():
    far = NullDevice(SMALL, 1 << 20, 50_000_000)
    link, wire = open_virtual("uart", far, baudrate=1_000_000, ethernet_bytes_per_s=None, clock_hz=50e6)
    link.read_word(MEM_BASE)
    assert wire.end == pytest.approx(10/100_000 + TURN_S["uart"])
    link.write_words(MEM_BASE, np.zeros(510, np.uint32))  # posted: on the wire, and nobody waits
    begin = wire.now
    assert wire.end == pytest.approx(begin + 2*1026/100_000 + TURN_S["uart"]/2)
    link.read_words(MEM_BASE, 510)  # two requests, one after the other
    assert wire.end == pytest.approx(begin + (2*1026 + 2*6 + 2*1020)/100_000 + 2*TURN_S["uart"])


def test_a_turn_of_frames_on_a_serial_wire():
    """Each frame has 20 bytes beside its words, and a payload's check 4; one answer for each, also of writes."""
    far = NullDevice(SMALL, 1 << 20, 50_000_000)
    link, wire = open_virtual("uart", far, baudrate=1_000_000, ethernet_bytes_per_s=None, clock_hz=50e6, framed=True)
    link.read_word(MEM_BASE)  # and begins the session
    begin = wire.end
    link.read_word(MEM_BASE)
    assert wire.end == pytest.approx(begin + (20 + 28)/100_000 + TURN_S["uart"])
    begin = wire.now
    link.write_words(MEM_BASE, np.arange(512, dtype=np.uint32))
    link.flush()
    assert wire.now == pytest.approx(begin + (2*1048 + 20)/100_000 + TURN_S["uart"])
    np.testing.assert_array_equal(link.read_words(MEM_BASE, 512), np.arange(512, dtype=np.uint32))


def test_one_turn_on_a_network():
    rate, clock = LINKS["ethernet-1000"], 50e6
    far = NullDevice(SMALL, 1 << 20, int(clock))
    link, wire = open_virtual("etherbone", far, baudrate=0, ethernet_bytes_per_s=rate, clock_hz=clock)
    link.flush()
    assert wire.end == 0
    link.read_words(MEM_BASE, 1)  # begins the session
    begin = wire.now
    link.read_words(MEM_BASE, 100)
    packet_s = (16 + 400 + FRAME_BYTES)/rate
    assert wire.end == pytest.approx(begin + 2*packet_s + 100*READ_CYCLES/clock + TURN_S["etherbone"])
    begin = wire.now
    link.write_words(MEM_BASE, np.arange(100, dtype=np.uint32))  # posted
    assert wire.now == begin
    write_s = max(packet_s, 100*WRITE_CYCLES/clock)
    assert wire.end == pytest.approx(begin + packet_s + write_s + TURN_S["etherbone"]/2, rel=0.02)
    np.testing.assert_array_equal(link.read_words(MEM_BASE, 100), np.arange(100))
    wanted_s = 2*packet_s + write_s + 100*READ_CYCLES/clock + TURN_S["etherbone"]
    assert wire.end == pytest.approx(begin + wanted_s, rel=0.02)


def test_long_transfers_take_the_wires_rate():
    model = GenerationModel(ULX3S, results={})
    assert 0.9 < model.load_rate()/LINKS["serial-3M"] < 1.0


def test_the_device_works_with_both_links():
    """What is counted is a device that the driver takes for one."""
    for kind, framed in (("uart", False), ("uart", True), ("etherbone", False)):
        far = NullDevice(SMALL, 1 << 20, 50_000_000)
        link, _ = open_virtual(kind, far, baudrate=1_000_000, ethernet_bytes_per_s=1e8, clock_hz=50e6, framed=framed)
        with Device(link, "virtual") as device:
            data = np.random.default_rng(1).integers(0, 256, 5000).astype(np.uint8)
            driver_of(device).transfer.upload(0, data[:4096], True)
            np.testing.assert_array_equal(driver_of(device).transfer.download(0, 4096, True), data[:4096])
            assert driver_of(device).link.counters.retries == driver_of(device).link.counters.timeouts == 0


def test_models_have_the_weights_that_are_published():
    weights = {model.name: model.weights for model in PUBLISHED}
    # All weights but embeddings, norms and biases: 6.738e9 - 131.1e6 of Llama-2-7B, and so on.
    assert weights["Llama-2-7B"] == 6_607_077_376 and weights["Llama-3-8B"] == 7_504_658_432
    assert weights["TinyLlama-1.1B"] == 1_034_420_224 and weights["Mistral-7B"] == 7_110_393_856
    assert 490_000_000 < weights["Qwen2.5-0.5B"] < 495_000_000


def test_the_packaged_model_is_the_one_that_runs():
    model = packaged_model()
    with mixpe.LlamaModel.from_pretrained(device="reference") as running:
        shapes = [job.linear.shape for job in running.jobs.values()]
    assert sorted(shapes) == sorted((shape.n, shape.k) for shape in model.shapes() for _ in range(shape.count))


def test_models_are_found(tmp_path):
    assert [model.name for model in find_models(["llama-2-7b", "MIXPE"])] == ["Llama-2-7B", "mixpe"]
    assert len(find_models()) == len(PUBLISHED) + 1
    w4, file = find_models(["SmolLM2 w4", "smollm2 FILE"])
    assert w4.weights == file.weights == 134_479_872 and w4.table.stored.bits == 4 and file.table.stored.bits == 8
    with pytest.raises(RangeError, match="no model 'gpt-9': there are mixpe, .*Llama-2-7B.*or name a folder"):
        find_models(["gpt-9"])
    (tmp_path/"config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 100, "hidden_size": 64,
        "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 32}))
    model, = find_models([str(tmp_path)])
    assert model.weights == 2*(4*64*64 + 3*64*128) + 100*64
    (tmp_path/"config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(ModelError, match="gpt2"):
        find_models([str(tmp_path)])


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_every_board_can_be_modelled(board):
    tiny = Model(name="tiny", architecture=Architecture(family="llama", hidden_size=64, intermediate_size=128,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=256, head_dim=16,
        max_position_embeddings=64))
    for kind in board.links:
        row = GenerationModel(board, link=kind, results={}).row(tiny, prompt=3)
        assert row.fits and 0 < row.device_s < row.token_s and row.load_s > 0 and row.jobs >= 9
        assert 0 < row.prefill_s < row.token_s
    assert board.memory.size_bytes >= 128 << 10


def test_clock_is_the_routed_one():
    made = f"{digest(ULX3S.config.parts):016x}"
    kept = {"config": ULX3S.config.to_dict(), "clock_hz": ULX3S.clock_hz, "contract_digest": made,
        "framed": ULX3S.framed, "fmax_mhz": 61.5, "timing_met": False}
    aim  = (80_000_000, "the clock that it is built for; not routed")
    assert clock_of(ULX3S, {}) == aim
    assert clock_of(ULX3S, {"ulx3s": kept}) == (61.5e6, "as routed; it is meant for 80 MHz")
    assert clock_of(ULX3S, {"ulx3s": {**kept, "fmax_mhz": 92.0, "timing_met": True}}) == (
        80_000_000, "routed with open tools, which reach 92.0 MHz")
    other = ({"config": {"rows": 1}}, {"clock_hz": 1}, {"contract_digest": "0"*16}, {"framed": not ULX3S.framed})
    for change in other:
        assert clock_of(ULX3S, {"ulx3s": {**kept, **change}}) == aim
    assert clock_of(ULX3S, {"ulx3s": {name: kept[name] for name in kept if name != "fmax_mhz"}}) == aim


def test_clock_is_that_of_the_link():
    made = f"{digest(ECPIX5.config.parts):016x}"
    kept = {"config": ECPIX5.config.to_dict(), "clock_hz": ECPIX5.clock_hz, "contract_digest": made,
        "framed": ECPIX5.framed, "fmax_mhz": 98.6, "timing_met": True}
    results = {"ecpix5": kept, "ecpix5 etherbone": {**kept, "framed": False, "fmax_mhz": 70.0, "timing_met": False}}
    assert GenerationModel(ECPIX5, results=results).clock_hz == 75_000_000
    assert GenerationModel(ECPIX5, link="etherbone", results=results).clock_hz == 70_000_000
    assert "not routed" in GenerationModel(ECPIX5, link="etherbone", results={"ecpix5": kept}).clock_text


@pytest.mark.parametrize("name, measured, text", [
    ("ulx3s", True, "as in simulation"), ("colorlight_i5", True, "as in simulation"),
    ("arty_a7", True, "as in simulation"), ("ecpix5", True, "as in simulation"),
    ("tang_primer_20k", True, "as in simulation"), ("icebreaker", False, "assumed from SDR at 1:1"),
])
def test_memories_that_were_not_simulated_are_named(name, measured, text, capsys):
    found, said = memory_source(BOARDS[name])
    assert found is measured and said.startswith(text)
    assert main(["bench", "--board", name, "--model", "mixpe"]) == 0
    line, = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  memory ")]
    assert line.endswith(f"a cycle, {said}")
    assert main(["bench", "--board", name, "--model", "mixpe", "--json"]) == 0
    row, = json.loads(capsys.readouterr().out)
    assert row["memory_measured"] is measured and row["memory"] == said


def test_links_and_memories_are_checked():
    assert link_of(ULX3S, "uart") == "serial-3M" and link_of(ECPIX5, "etherbone") == "ethernet-1000"
    assert link_of(BOARDS["arty_a7"], "etherbone") == "ethernet-100"
    with pytest.raises(ConfigError, match="Radiona ULX3S 85F has no link 'etherbone'; it has uart"):
        link_of(ULX3S, "etherbone")
    with pytest.raises(ConfigError, match="no link of 12345 baud"):
        link_of(replace(ULX3S, baudrate=12345), "uart")


def test_parts_move_with_what_they_stand_for():
    model  = find_models(["mixpe"])[0]
    slow   = GenerationModel(small_board(), link="uart", results={}).row(model)
    clock  = GenerationModel(replace(small_board(), clock_hz=2*ECPIX5.clock_hz), link="uart", results={}).row(model)
    host   = GenerationModel(small_board(fused=False), link="uart", results={}).row(model)
    net    = GenerationModel(small_board(), link="etherbone", results={}).row(model)
    assert clock.device_s == pytest.approx(slow.device_s/2) and clock.link_s == slow.link_s
    assert host.link_bytes > 1.5*slow.link_bytes and host.weight_bytes == slow.weight_bytes
    assert net.link_s < slow.link_s/20 and net.token_s < slow.token_s


def words_of(program):
    return assemble(program, dict.fromkeys((CONSTANTS, *program.matrices), 0))[0].tolist()


def test_programs_are_those_of_the_checkpoint():
    model  = packaged_model()
    opened = checkpoint.opened(None)
    config = ULX3S.changed(decoder=True).config
    for kind in ("a16", "a8g"):
        found = compile_parts(model.architecture, model.parts(), model.table, config, Rounding(4, 128), kind)
        made  = compile_checkpoint(opened.architecture, Weights(opened.tensors), config, Rounding(4, 128), kind)
        assert words_of(found) == words_of(made)


@pytest.mark.models
def test_smollm2_is_stored_as_its_file_has_it():
    file,  = find_models(["SmolLM2 file"])
    opened = checkpoint.opened("smollm2")
    config = BOARDS["arty_a7"].changed(decoder=True).config
    found  = compile_parts(file.architecture, file.parts(), file.table, config, Rounding(4, 128), context=256)
    made   = compile_checkpoint(opened.architecture, Weights(opened.tensors), config, Rounding(4, 128), context=256)
    assert words_of(found) == words_of(made)


@pytest.mark.parametrize("board", [board for board in BOARDS.values() if board.decoder is not None],
    ids=lambda board: board.name)
def test_every_board_with_room_runs_the_decoder(board):
    for kind in board.links:
        model = DecoderModel(board, link=kind, results={})
        row   = model.row(packaged_model())
        assert model.activations == "a16" and row.fits and row.position == 128
        assert sum(row.functions.values()) == pytest.approx(row.cycles) and row.array < row.cycles
        host  = GenerationModel(board, link=kind, results={}).row(packaged_model())
        assert row.link_bytes < (80 if kind == "uart" else 100) and row.token_s < host.token_s/3
        assert row.needed_bytes > row.weight_bytes > host.weight_bytes, "an embedding of its own, a session"
        assert row.per_gb_s == pytest.approx(1/row.token_s/(board.memory_mbps/1000))


def test_boards_without_room_keep_the_hosts_decoder():
    without = [board.name for board in BOARDS.values() if board.decoder is None]
    assert "icebreaker" in without and "ulx3s" not in without
    with pytest.raises(ConfigError, match="no room for the decoder"):
        DecoderModel(BOARDS["icebreaker"], results={})


def test_a_long_layer_is_not_run_on_a_small_array():
    tiny, smollm2, llama = find_models(["mixpe", "SmolLM2 W4", "Llama-2-7B"])
    model = DecoderModel(ULX3S, results={})
    assert model.row(llama) is None and model.row(tiny) is not None
    row = model.row(smollm2)
    assert not row.fits and row.position == POSITION and 72e6 < row.weight_bytes < 73e6


def test_a_run_costs_what_the_driver_sends():
    """A session on the reference device moves the same payload."""
    seconds, moved = DecoderModel(ULX3S, results={}).link_cost()
    with mixpe.open("reference", **ULX3S.changed(decoder=True).config.to_dict(), mem_bytes=32 << 20) as device:
        with mixpe.LlamaModel.from_pretrained(None, device, decoder="device") as model, model.session() as session:
            first  = session.read([65, 66])
            before = device.link_bytes()
            assert len(session.go_on(first, RUN_TOKENS)) == RUN_TOKENS
            after  = device.link_bytes()
    payload = sum(after[way] - before[way] for way in ("written", "read"))
    assert payload < RUN_TOKENS*moved < 4*payload  # and what frames it
    assert RUN_TOKENS*moved/LINKS["serial-3M"] + TURN_S["uart"] < RUN_TOKENS*seconds < 10*TURN_S["uart"]


@pytest.mark.parametrize("seconds, text", [(0.2, "0.2 s"), (119, "119 s"), (300, "5 min"), (7200, "2 h")])
def test_times(seconds, text):
    assert time_text(seconds) == text


def test_numbers_have_no_exponents():
    assert ms_text(924.898) == "925,000" and ms_text(0.00286) == "2.86" and rate_text(0.0398) == "0.0398"


def test_command(capsys):
    assert main(["bench", "--board", "ulx3s", "--model", "mixpe", "--model", "Llama-2-7B", "--prompt", "4"]) == 0
    out = capsys.readouterr().out
    assert "modelled, not measured" in out and "does not fit" in out and "attention" in out
    lines = [line for line in out.splitlines() if line.startswith(("model ", "mixpe ", "Llama-2-7B "))]
    host, device = lines[:3], lines[3:]  # aligned; the second model's layers are too long for this device
    assert len({len(line) for line in host}) == 1 and len({len(line) for line in device}) == 1 and len(device) == 2
    assert main(["bench", "--board", "ecpix5", "--model", "mixpe", "--link", "etherbone", "--json"]) == 0
    found, = json.loads(capsys.readouterr().out)
    row, = found["models"]
    assert found["modelled"] and found["link"] == "ethernet-1000" and row["fits"] and row["tokens_per_s"] > 0
    parts = row["array_s"] + row["memory_s"] + row["link_s"] + row["turn_s"]
    assert parts == pytest.approx(row["token_s"]) == pytest.approx(1/row["tokens_per_s"])
    assert [row["model"] for row in found["decoder"]] == ["mixpe"] and found["decoder"][0]["modelled"]
    assert main(["bench", "--board", "ecpix5", "--model", "mixpe"]) == 0
    out = capsys.readouterr().out
    assert "decoder on the device, A16" in out and "ATTENTION" in out
    assert main(["bench", "--board", "all", "--model", "mixpe", "--model", "Llama-2-7B"]) == 0
    host, _, device = capsys.readouterr().out.partition("with the decoder on the device, A16")
    for table in (host, device):
        assert all(f"\n{name} " in table for name in BOARDS) and "modelled, not measured" in table
    assert device.count("  no room") == sum(board.decoder is None for board in BOARDS.values())


@pytest.mark.parametrize("options, text", [
    (["--board", "ulx4s"], "unknown board 'ulx4s'"), (["--board", "ulx3s", "--model", "x"], "no model 'x'"),
    (["--board", "ulx3s", "--link", "etherbone"], "has no link 'etherbone'"),
    (["--board", "ulx3s", "--prompt", "-1"], "--prompt must be"),
    (["--board", "ulx3s", "--group-size", "17", "--model", "mixpe"], "group_size must be one of"),
])
def test_bad_input_is_one_line(options, text, capsys):
    assert main(["bench", *options]) == 2
    err = capsys.readouterr().err
    assert text in err and err.count("\n") == 1
