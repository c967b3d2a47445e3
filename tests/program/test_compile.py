# SPDX-License-Identifier: BSD-2-Clause
"""Programs from shapes alone: what published models need, fences against every hazard, and what is refused."""

import json
from dataclasses import replace

import pytest

from mixpe.cli.main import main
from mixpe.errors import ConfigError
from mixpe.formats.hf_config import architecture_of
from mixpe.plan.layer import LayerPlan, LayerShape
from mixpe.program.assemble import assemble
from mixpe.program.compile import batch_sizes, compile_batch, compile_program
from mixpe.program.fences import AFTER, fences
from mixpe.program.jobs import HEAD, JOBS, job_names
from mixpe.program.line import Line
from mixpe.program.place import Place
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.descriptor import Opcode
from mixpe_gateware.contract.jobs import Job, JobCode, check_job
from mixpe_gateware.contract.program.attention import AttentionRecord
from mixpe_gateware.contract.program.execute import moved, patched
from mixpe_gateware.contract.program.records import OP, RECORDS_MAX, Source, named_row
from mixpe_gateware.contract.program.vector import VectorRecord

CONFIG = Config(decoder=True, minima=True)
LARGE  = {  # as published
    "SmolLM2-135M": {"model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5, "rope_theta": 100000, "tie_word_embeddings": True},
    "TinyLlama-1.1B": {"model_type": "llama", "vocab_size": 32000, "hidden_size": 2048, "intermediate_size": 5632,
        "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4, "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False},
    "Qwen2.5-0.5B": {"model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864,
        "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "rms_norm_eps": 1e-6,
        "max_position_embeddings": 32768, "rope_theta": 1e6, "tie_word_embeddings": True},
    "Qwen3-0.6B": {"model_type": "qwen3", "vocab_size": 151936, "hidden_size": 1024, "intermediate_size": 3072,
        "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
        "max_position_embeddings": 40960, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "tie_word_embeddings": True},
    "Mistral-7B": {"model_type": "mistral", "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-5,
        "max_position_embeddings": 32768, "sliding_window": 4096, "rope_theta": 10000.0, "tie_word_embeddings": False},
}
RECORDS = {"SmolLM2-135M": 580, "TinyLlama-1.1B": 456, "Qwen2.5-0.5B": 496, "Qwen3-0.6B": 688, "Mistral-7B": 742}


def architecture_for(name):
    return architecture_of(LARGE[name], own_head=not LARGE[name]["tie_word_embeddings"])


def plans_of(architecture, config=CONFIG, group_size=64, bits=4, head_bits=8):
    """Plans of a model whose weights are floats, and of an embedding of its own."""
    shapes = architecture.tensor_shapes()
    plans  = {}
    for name in job_names(architecture):
        layer, _, job = name.rpartition(".")
        sizes = [(architecture.vocab_size, architecture.hidden_size)] if name == HEAD else [
            shapes[f"model.{layer}.{part}.weight"] for part in JOBS[job]]
        span = 32 if name == HEAD else group_size
        planes = (head_bits if name == HEAD else bits)//4
        shape  = LayerShape(n=sum(n for n, _ in sizes), k=sizes[0][1], span=span, planes=planes)
        plans[name] = [LayerPlan(shape, config, wide=True)]
    own = LayerShape(n=architecture.vocab_size, k=architecture.hidden_size, span=32, planes=2)
    return plans, LayerPlan(own, config)


def compiled(name, config=CONFIG, **options):
    architecture = architecture_for(name)
    plans, own = plans_of(architecture, config)
    return compile_program(architecture, config, plans, None if architecture.tie_word_embeddings else own, **options)


@pytest.mark.parametrize("activations", ["a16", "a8g"])
@pytest.mark.parametrize("name", LARGE)
def test_published_models_compile(name, activations):
    """And every record passes the checks of its engine, at the first and the last position."""
    program  = compiled(name, activations=activations)
    sections = {"constants": program.constants.size,
        **{each: matrix.plan.stream_bytes[0] for each, matrix in program.matrices.items()}}
    addresses, size = {}, 1 << 12
    for section, length in sections.items():
        addresses[section], size = size, size + -(-length//64)*64
    state, memory = size, size + program.session.size
    if memory >> 32:
        addresses = {section: address % (1 << 31)//64*64 for section, address in addresses.items()}  # sizes alone count
        state, memory = 1 << 31, (1 << 32) - 64
    context = program.context
    assert context == 2048 and program.records == RECORDS[name]
    check_records(program, addresses, state, memory, ((0, 0), (context - 1, program.architecture.vocab_size - 1)))
    rows = CONFIG.rows//2 if activations == "a16" else CONFIG.rows
    assert program.block.rows == rows and program.block.session is program.session
    check_records(program.block, addresses, state, memory, ((rows - 1, 0), (context - 1, 1)))
    assert [line.opcode for line in program.block.lines].count(Opcode.GEMM) == [line.opcode for line in
        program.lines].count(Opcode.GEMM), "weights are read once for all tokens of a pass"


@pytest.mark.parametrize("activations, sizes", [("a16", (2, 4)), ("a8g", (2, 4, 8))])
def test_a_batch_reads_weights_once(activations, sizes):
    """Its records name their rows where positions and caches are, and pass the checks of their engines."""
    program = compiled("SmolLM2-135M", activations=activations)
    assert batch_sizes(program, CONFIG) == sizes
    assert batch_sizes(compiled("Qwen2.5-0.5B"), CONFIG) == (), "logits of rows are told apart up to 65536 tokens"
    assert batch_sizes(compiled("SmolLM2-135M", replace(CONFIG, rows=64)), replace(CONFIG, rows=64)) == (2, 4, 8)
    addresses, size = {}, 1 << 12
    for section, matrix in (("constants", program.constants), *program.matrices.items()):
        length = matrix.size if section == "constants" else matrix.plan.stream_bytes[0]
        addresses[section], size = size, size + -(-length//64)*64
    for rows in sizes:
        batch = compile_batch(program, CONFIG, rows)
        count = {opcode: [line.opcode for line in batch.lines].count(opcode) for opcode in Opcode}
        alone = [line.opcode for line in program.lines]
        assert count[Opcode.GEMM] == alone.count(Opcode.GEMM)
        assert count[Opcode.ATTENTION] == rows*alone.count(Opcode.ATTENTION)
        assert [line.row for line in batch.lines if line.opcode == Opcode.ATTENTION] == [*range(rows)]*30
        assert all(line.row is not None for line in batch.lines if any(patch.source in (Source.POSITION, Source.COUNT)
            for patch in line.patches))
        state  = size + -(-program.session.size//64)*64
        check_records(batch, addresses, state, state + batch.session.size, ((0, 0), (2047, 49151)), session=size)
        assert batch.own is program.session and batch.session.cache_bytes == 0


def check_records(program, addresses, state, memory, places, session=0):
    words, identity = assemble(program, addresses, ends=[2, 5])
    assert words.shape == (program.records, 16)
    for position, token in places:
        for record in words[1:].tolist():
            found  = moved(patched(record, position, token, position > 0, program.rows - 1), state, session,
                (named_row(record) or (0, 0))[1])
            opcode = OP.field("opcode").of(record[0])
            if opcode == Opcode.VECTOR:
                code = VectorRecord.of(found).check(CONFIG, memory)
            elif opcode == Opcode.ATTENTION:
                code = AttentionRecord.of(found).check(CONFIG, memory)
            else:
                code = check_job(Job.from_words([1, *found[1:10]]), CONFIG, memory)
                assert state <= found[3] and found[3] + found[8] <= state + program.session.size
            assert code == JobCode.OK
    assert identity == words[0, 1] and words[0, 6:8].tolist() == [2, 5] and words[0, 11] == program.rows


def test_a_program_is_of_its_weights_and_places():
    program = compiled("SmolLM2-135M", context=100)
    addresses = {section: 64*index for index, section in enumerate(["constants", *program.matrices])}
    words, identity = assemble(program, addresses)
    assert program.context == 100 and program.session.context == 128
    assert assemble(program, addresses)[1] == identity
    assert assemble(program, addresses, salt=b"x")[1] != identity
    assert assemble(program, addresses, ends=[7])[1] != identity
    assert assemble(program, {**addresses, "layers.3.o.0": 1 << 20})[1] != identity
    assert words[0, 8] == program.session.size


def begins(lines, waits):
    """For each line the lines that have surely ended when it begins, by the rules of fences and order."""
    ended = set()
    for index, fields in enumerate(waits):
        if fields.get("fence"):
            ended |= set(range(index))
        for opcode, field in AFTER.items():
            if fields.get(field):
                ended |= {other for other in range(index) if lines[other].opcode == opcode}
        yield set(ended)


@pytest.mark.parametrize("name", ["SmolLM2-135M", "Qwen3-0.6B"])
@pytest.mark.parametrize("kind", ["token", "block", "batch"])
def test_nothing_is_read_or_written_too_early(name, kind):
    program = compiled(name)
    if kind == "batch":
        if not batch_sizes(program, CONFIG):
            program = compiled("TinyLlama-1.1B")
        lines = compile_batch(program, CONFIG, 4).lines[:120]
    else:
        lines = program.block.lines[:120] if kind == "block" else program.lines[:60]
    for index, ended in enumerate(begins(lines, fences(lines))):
        line = lines[index]
        for other in set(range(index)) - ended:
            before = lines[other]
            assert not any(mine.meets(theirs) for mine in line.reads for theirs in before.writes), (index, other)
            assert not any(mine.meets(theirs) for mine in line.writes for theirs in (*before.reads, *before.writes))
    # And not for nothing: most records wait for one engine, and some for none.
    kinds = [len(each) for each in fences(lines)[1:]]
    assert set(kinds) == {0, 1}


def test_fences_see_each_hazard():
    a, b = Place("session", "a", 0, 64), Place("session", "b", 64, 64)
    def line(opcode, reads, writes):
        return Line(name="", opcode=opcode, operands={}, reads=reads, writes=writes)
    first = line(Opcode.GEMM, (a,), (b,))
    for reads, writes, waits in (((b,), (), 1), ((), (a,), 1), ((), (b,), 1), ((a,), (), 0), ((b.part(32, 32),), (), 1),
            ((replace(b, section="other"),), (), 0)):
        lines = [first, line(Opcode.VECTOR, reads, writes), line(Opcode.ATTENTION, reads, writes)]
        assert fences(lines) == [{"fence": 1}, {"after_gemm": 1} if waits else {},
            {"after_vector": 1} if writes else {}]


def test_what_no_decoder_runs():
    base = LARGE["SmolLM2-135M"]
    def refused(match, config=CONFIG, plans=plans_of, **change):
        architecture = architecture_of(base | change, own_head=False)
        with pytest.raises(ConfigError, match=match):
            compile_program(architecture, config, *plans(architecture, config))
    refused("heads of a multiple of 32 elements up to 256, not of 48", head_dim=48)
    refused("heads of a multiple of 32 elements up to 256, not of 288", head_dim=288)
    refused("up to 32, not of 64", config=replace(CONFIG, head_max=32), head_dim=64)
    refused("fewer than 1048576 tokens", vocab_size=1 << 20, hidden_size=64, head_dim=64)
    refused("rows of a multiple of 32 elements, not 600", hidden_size=600, head_dim=64)
    refused(f"at most {RECORDS_MAX} records", num_hidden_layers=300)
    refused("more than this device takes in one job", config=replace(CONFIG, k_max=1024))
    refused("32 rows of them do not fit one job", config=replace(CONFIG, rows=2, scalers=1, k_max=2048,
        buffer_beats=64))
    with pytest.raises(ConfigError, match="1 … 2048 positions, what model and device have, not 2049"):
        compiled("SmolLM2-135M", context=2049)


def test_rows_of_a_wide_embedding_come_in_parts():
    program = compiled("TinyLlama-1.1B", replace(CONFIG, k_max=8192))
    head = [line for line in program.lines if line.name == "embed"]
    assert [line.mnemonic for line in head] == ["GEMM", "ADD"]*(len(head)//2) + ["ADD"]
    assert head[0].operands["m"] == 64 and len(head) == 2*32 + 1


def test_the_command(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    assert main(["program", "--context", "64"]) == 0
    table, _, takes = capsys.readouterr().out.partition("\n\n")
    assert table.splitlines()[0].split()[:3] == ["record", "where", "op"] and len(table.splitlines()) == 64
    assert "weights += block·2368" in table and "64 records, 4 KiB; 47 of them" in takes and "64 positions" in takes
    assert "cycles for the token at position 63: GEMM " in takes
    assert "passes of 4 tokens: 123 records" in takes
    assert main(["program", "--context", "64", "--prompt"]) == 0
    table, _, takes = capsys.readouterr().out.partition("\n\n")
    assert "columns" in table and "out += turn·1024" in table and "the first 3 records for each" in takes
    assert main(["program", "--json", "--activations", "a8g"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["records"] == 64 == len(found["program"]) + 1 and found["context"] == 256
    taken = found["cycles"]
    assert sum(taken["by_function"].values()) == pytest.approx(taken["cycles"], abs=10) and taken["modelled"]
    assert taken["position"] == 255 and taken["array"] < taken["cycles"] < 3*taken["array"]
    attention = next(record for record in found["program"] if record["op"] == "ATTENTION")
    assert attention["patches"] == [{"word": "positions", "source": "count", "stride": 1}]
    assert main(["program", "--context", "300"]) == 2
    assert "1 … 256 positions" in capsys.readouterr().err
